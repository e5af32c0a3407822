"""Messages that the server stores, derived from protos/recordlayer/internal/v1."""
