"""Webhooks: the word of subscriptions, sent to who wants it there.

addresses   where a webhook may lead
posting     one request to an address that was looked up once and judged
outbox      the notification of a subscription that waits to be answered, kept until it is
registry    all webhooks, and which server serves which
delivering  one webhook: make a notification, send it, again if need be, make the next
dispatch    those of this server: taken over, given up, and how many are sent at once
"""
