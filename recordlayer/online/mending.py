"""What a scrub does with a judgement: notes the faults, and mends them where that is asked for.

Whoever changes what a fault was judged by conflicts with the transaction that mends it. What was mended is judged again
in the same transaction, for one fault may hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from recordlayer.errors import StoreError
from recordlayer.index.judging import Fault
from recordlayer.online.scrub_report import ScrubFinding
from recordlayer.store.evidence import Lookup
from recordlayer.store.store import RecordStore

Judge = Callable[[], Coroutine[Any, Any, list[Fault]]]

_ROUNDS = 10
"""Judgements of one part, at most: each level of a ranked set may be broken by itself."""


class Judgement:
    """The faults of one index that one transaction found."""

    def __init__(self, store: RecordStore, lookup: Lookup, index: str, *, repair: bool) -> None:
        self._store = store
        self._lookup = lookup
        self._where = f"index {index}"
        self._repair = repair
        self._found: dict[tuple[str, str], ScrubFinding] = {}

    @property
    def findings(self) -> list[ScrubFinding]:
        return list(self._found.values())

    def note(self, what: str, detail: Any, *, repaired: bool = False, trouble: str = "") -> None:
        """Note something that does not agree."""
        self._found[what, repr(detail)] = ScrubFinding(
            where=self._where, what=what, detail=detail, repaired=repaired, trouble=trouble
        )

    async def of(self, judge: Judge) -> None:
        """Judge, mend, and judge again, until nothing is found or nothing helps."""
        for _ in range(_ROUNDS):
            faults = [fault for fault in await judge() if fault.primary_key not in self._lookup.broken]
            mended = False
            for fault in faults:
                mended = await self._settle(fault) or mended
            if not mended:
                return

    async def _settle(self, fault: Fault) -> bool:
        """Whether something was changed."""
        known = self._found.get((fault.what, repr(fault.detail)))
        if known is not None:
            if known.repaired:
                self.note(fault.what, fault.detail, trouble="it was there again when it had been mended")
            return False
        if not self._repair:
            self.note(fault.what, fault.detail)
            return False
        if fault.mend is None:
            self.note(fault.what, fault.detail, trouble="nobody knows what it was: rebuild the index")
            return False
        self._depend_on(fault)
        try:
            await fault.mend()
        except StoreError as error:
            self.note(fault.what, fault.detail, trouble=str(error))
            return False
        self.note(fault.what, fault.detail, repaired=True)
        return True

    def _depend_on(self, fault: Fault) -> None:
        context = self._store.context
        if fault.key is not None:
            context.add_read_conflict_key(fault.key)
        for stored in [] if fault.primary_key is None else self._lookup.stored_keys(fault.primary_key):
            base = self._store.layout.records + stored
            context.add_read_conflict_range(base, base + b"\xff")
