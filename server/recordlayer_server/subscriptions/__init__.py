"""Subscriptions: word of changes that is kept until it is acknowledged.

catalog    the subscriptions of a database, and their places
matching   what of a page of changes a subscription tells
receiving  one stream that tells what one subscription has to tell
servicer   the service: takes requests apart and puts replies together
"""
