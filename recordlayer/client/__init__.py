"""For programs that talk to a recordlayer server: `pb` has the messages and stubs of the package recordlayer.v1."""
