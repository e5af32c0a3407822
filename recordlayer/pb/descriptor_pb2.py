"""Descriptors as messages, from the private pool: their options know the Record Layer's extensions."""

from recordlayer.pb import pool

pool.fill(globals(), "google/protobuf/descriptor.proto")
