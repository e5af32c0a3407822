"""Looking for what is of no use in a store, and clearing it, in a transaction of its own that is tried again."""

from __future__ import annotations

from recordlayer.kv.beginning import Beginning
from recordlayer.metadata import RecordMetaData
from recordlayer.online.options import WorkLimits
from recordlayer.online.work import LongWork
from recordlayer.store.leftovers import Leftover, leftovers, vacuum
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.store.open import OpenOptions, Path
from recordlayer.store.serializer import Serializer


async def vacuumed(
    beginning: Beginning,
    metadata: RecordMetaData | StoredMetaData,
    path: Path,
    *,
    remove: bool,
    serializer: Serializer,
) -> list[Leftover]:
    """What is of no use in the store at a path; with `remove`, what was."""
    opening = OpenOptions(serializer=serializer)
    work = LongWork(beginning, metadata, path, name="vacuum", limits=WorkLimits(), opening=opening)
    return await work.run(vacuum if remove else leftovers)
