"""Transactions of several steps, one on each stream.

bounds       how long a transaction may take, what it may do, and when its caller is warned
open_ones    how many are open at once
steps        what a step does
transacting  one stream, from its beginning to its commit
servicer     the service
"""
