"""Looking, at some saves and deletions, whether an index agrees with the record that was there: damage is found on the
day when it happens, at little cost, by those who work with the store anyway.

Cost    of those saves: the reads that judging one index by one record takes (VALUE: 1 read an entry)
Source  ours: a scrub of what is being changed
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recordlayer.errors import UsageError
from recordlayer.index.judging import Judging
from recordlayer.store.evidence import Lookup
from recordlayer.store.record import StoredRecord

if TYPE_CHECKING:
    from recordlayer.store.store import RecordStore


@dataclass(frozen=True, slots=True)
class Sampling:
    """How often to look, and whom to tell.

    share  of the saves and deletions that find an old record, 0 to 1
    told   called with what does not agree, in words; an error that it raises comes out of the save
    """

    share: float
    told: Callable[[str], object]

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, (int, float)) or not 0 <= self.share <= 1:
            raise UsageError(option="share", got=self.share, hint="give a number from 0 to 1, such as 0.001")

    async def look(self, store: RecordStore, old: StoredRecord) -> None:
        """Look at one index, by chance, if it is this one's turn. Reads conflict with nobody."""
        chance = store.context.world.random
        if chance.random() >= self.share:
            return
        if old.version is not None and not old.version.is_complete:
            return  # its entries wait for the commit of this very transaction
        able = [
            index
            for index in store.metadata.indexes_of(old.record_type)
            if store.states.peek(index).is_readable and isinstance(store.upkeep.maintainer(index), Judging)
        ]
        if not able:
            return
        index = chance.choice(able)
        maintainer = store.upkeep.maintainer(index)
        assert isinstance(maintainer, Judging), "it was asked before"
        for fault in await maintainer.judge_records([old], Lookup(store, index)):
            self.told(f"index {index.name}: {fault.what}: {fault.detail!r}")
