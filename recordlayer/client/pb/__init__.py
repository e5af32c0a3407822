"""Messages and stubs of the package recordlayer.v1, derived from protos/recordlayer/v1."""
