"""Key spaces: typed paths to places in a database, interned names, FoundationDB's directories."""

from __future__ import annotations

from recordlayer.keyspace.directory import ANY, InternedDirectory, KeySpaceDirectory, KeyType
from recordlayer.keyspace.directory_layer import Directory, DirectoryLayer
from recordlayer.keyspace.interning.cache import Name
from recordlayer.keyspace.interning.directories import GLOBAL, ExtendedDirectoryLayer, ScopedDirectoryLayer
from recordlayer.keyspace.interning.layer import ScopedInterningLayer
from recordlayer.keyspace.interning.resolver import NameResolver, ResolverState
from recordlayer.keyspace.path import KeySpacePath, ResolvedPath
from recordlayer.keyspace.space import KeySpace, Listing

__all__ = [
    "ANY",
    "GLOBAL",
    "Directory",
    "DirectoryLayer",
    "ExtendedDirectoryLayer",
    "InternedDirectory",
    "KeySpace",
    "KeySpaceDirectory",
    "KeySpacePath",
    "KeyType",
    "Listing",
    "Name",
    "NameResolver",
    "ResolvedPath",
    "ResolverState",
    "ScopedDirectoryLayer",
    "ScopedInterningLayer",
]
