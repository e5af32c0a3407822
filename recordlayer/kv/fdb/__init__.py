"""FoundationDB: the engine contract over the `foundationdb` package and its native client library.

    native.py       the C client's functions, by their argument types
    loading.py      finding and checking the package and the library; the network thread; forks
    errors.py       FoundationDB's codes as errors of our tree
    futures.py      the client's futures as waitables
    reading.py, transaction.py  the contract's Transaction
    engine.py       the contract's Engine, and what keeps a cluster from being opened

Nothing here is imported before a cluster is opened, and the native library is loaded only then.
"""
