"""Subscriptions: word of changes that is kept until it is acknowledged.

catalog      the subscriptions of a database, and their places
matching     what of a page of changes a subscription tells
remembering  which records its query holds for, so that it can be told when one stops matching
looking      what one subscription has to tell, and its place behind that
receiving    one stream that tells it
servicer     the service: takes requests apart and puts replies together
"""
