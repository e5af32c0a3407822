"""The embedded engine: FoundationDB's transactions over one LMDB file, in this process.

The file holds the newest version of every key; memory holds what the last seconds overwrote, and only while someone
may still read it. Modules, from the disk up:

    environment.py, base.py, base_write.py, scanning.py    the newest version of every key, in LMDB
    long_keys.py     keys beyond LMDB's 511 bytes
    disk_errors.py   LMDB's and the system's errors as ours
    tree_pages.py, sizes.py    how large a range is, told from the pages of LMDB's trees
    readers.py       which versions are being read
    window.py, undo_chain.py, key_blocks.py    what commits overwrote, for readers of older versions
    range_versions.py    which ranges commits wrote
    watches.py       who waits for a key to change
    database.py      the state of an open file
    commit_request.py, gathering.py, conflicts.py, apply.py, publish.py, undisturbed.py, bell.py, commit.py
                     group commit: check, apply, sync, publish
    range_set.py     sets of keys, as ranges
    writes.py        a transaction's own writes, laid over what it reads
    view.py, read_point.py    one version of the database as a transaction sees it
    ranges.py        chunks of ranges and what they depend on
    options.py       what a transaction's options change
    transaction_state.py, reading.py, writing.py, transaction.py    the contract's Transaction
    data_file.py, ownership.py, file.py    what lies at a path, who owns it, what this process has open
    upkeep.py        a compact copy, a look at everything
    engine.py        the contract's Engine
"""
