"""Change feeds: what has happened in a store, for those who follow it, and who removes what is past its time.

    settings    switching the feed of a store on and off
    token       where a reader is, as opaque bytes
    reading     pages of changes; `change` is what they hold, `coalescing` gives each record once
    groups      which groups have changed
    consumers   places of readers that are kept in the database, with what they do
    watching    waiting for a change
    trimming    forgetting old changes
    versions    the same from a VERSION index, for stores that are shared with Java: without deletions
    reaping     deleting records whose time has passed

The entries are written below, by `store.change_log`.
"""
