"""Record stores: where records, their versions and their indexes lie, and what keeps them in step.

These are the names that programs use beside the facades: what they give when they open a store. They are imported when
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recordlayer.on_demand import on_demand

if TYPE_CHECKING:
    from recordlayer.store.compression import ZLIB, Compression, Zlib, register_compression
    from recordlayer.store.encryption import EncryptionKey, KeyManager, KeyRing
    from recordlayer.store.metadata_store import StoredMetaData
    from recordlayer.store.open import Cacheable, OpenMode
    from recordlayer.store.serializer import PLAIN, Serializer, TransformingSerializer
    from recordlayer.store.state_cache import StoreStateCache
    from recordlayer.store.upgrade import NewIndex

_HOME = {
    "Cacheable": "open",
    "Compression": "compression",
    "EncryptionKey": "encryption",
    "KeyManager": "encryption",
    "KeyRing": "encryption",
    "NewIndex": "upgrade",
    "OpenMode": "open",
    "PLAIN": "serializer",
    "Serializer": "serializer",
    "StoreStateCache": "state_cache",
    "StoredMetaData": "metadata_store",
    "TransformingSerializer": "serializer",
    "ZLIB": "compression",
    "Zlib": "compression",
    "register_compression": "compression",
}


__getattr__ = on_demand(__name__, _HOME)


__all__ = [
    "PLAIN",
    "ZLIB",
    "Cacheable",
    "Compression",
    "EncryptionKey",
    "KeyManager",
    "KeyRing",
    "NewIndex",
    "OpenMode",
    "Serializer",
    "StoreStateCache",
    "StoredMetaData",
    "TransformingSerializer",
    "Zlib",
    "register_compression",
]
