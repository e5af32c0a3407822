"""At which time the database had which version, as somebody noted now and then: versions do not tell the time.

Layout  S(254, milliseconds since 1970) -> incarnation (4 bytes), version (8), big-endian
Cost    noting: 1 range read, 1 write; finding: 1 range read
"""

from __future__ import annotations

from datetime import timedelta

from recordlayer.kv.engine import StreamingMode
from recordlayer.store.layout import Keyspace
from recordlayer.store.store import RecordStore
from recordlayer.tuples import pack, unpack


async def note(store: RecordStore, *, interval: timedelta) -> bool:
    """Note the version that this transaction reads, if the last note is older. Whether it was noted."""
    context = store.context
    prefix, now = store.layout.of(Keyspace.VERSION_TIMES), _now(store)
    last = await context.get_range(prefix, prefix + b"\xff", limit=1, reverse=True, mode=StreamingMode.EXACT)
    if last.rows:
        (before,) = unpack(last.rows[0][0], len(prefix))
        if now - before < interval // timedelta(milliseconds=1) and _incarnation(store) == last.rows[0][1][:4]:
            return False
    version = await context.read_version()
    context.set(prefix + pack((now,)), _incarnation(store) + version.to_bytes(8, "big"))
    return True


async def version_at(store: RecordStore, age: timedelta) -> int | None:
    """A version that the database had `age` ago or earlier, the latest that was noted; None if none was."""
    context = store.context
    prefix, then = store.layout.of(Keyspace.VERSION_TIMES), _now(store) - age // timedelta(milliseconds=1)
    if then < 0:
        return None
    end = prefix + pack((then,)) + b"\xff"
    chunk = await context.get_range(prefix, end, limit=1, reverse=True, snapshot=True, mode=StreamingMode.EXACT)
    if not chunk.rows or chunk.rows[0][1][:4] != _incarnation(store):
        return None
    return int.from_bytes(chunk.rows[0][1][4:], "big")


def forget(store: RecordStore, age: timedelta) -> None:
    """Remove notes that are older.  Cost  1 clear range."""
    prefix, then = store.layout.of(Keyspace.VERSION_TIMES), _now(store) - age // timedelta(milliseconds=1)
    if then > 0:
        store.context.clear_range(prefix, prefix + pack((then,)))


def _now(store: RecordStore) -> int:
    return max(0, int(store.context.world.clock.wall() * 1000))


def _incarnation(store: RecordStore) -> bytes:
    return store.header.incarnation.to_bytes(4, "big")
