"""Assets: bytes beside the records, which go when no record refers to them any more.

catalog      what is kept: assets, their chunks, and word of what may have become free
uploading    one stream of bytes that come
downloading  one stream of bytes that go out
referring    what changes of records do: an asset has to be there when a record begins to refer to it
collecting   taking away those that no record refers to
servicer     the service: takes requests apart and puts replies together

Which records refer to an asset is what the indexes `recordlayer_assets_...` of the records say, so it changes with the
records in one transaction, whoever changes them. Nothing is counted, and writers of different records touch no key in
common, whatever assets they share:

    who begins to refer     reads the asset, and adds an entry to the index
    who ceases to refer     takes the entry away, and leaves a Release, a key of its own, that is due after a while
    who collects            looks behind a due Release: reads the entries of the asset, and clears it if there is none

So who refers and who collects conflict, in whichever order they commit: either the collector sees the entry, or the
record is refused. And an asset without an entry has a Release: one is written when it is begun, when it is whole, and
whenever an entry goes; one goes only with the asset, or in a transaction that has seen an entry or a later Release. A
zone that is deleted takes its assets along in the same transaction.
"""
