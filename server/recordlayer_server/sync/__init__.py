"""Sync: what has changed since a token, and word of changes as they come.

tokens            where a reader is, sealed
zone_changes      the changes of one zone, copied first and followed then
database_changes  which zones have changed
pulses            one watch of the engine for each zone, for all who watch it
watching          what one stream of Watch tells of its targets
servicer          the service: takes requests apart and puts replies together
trimming          forgetting deletions whose time is over
"""
