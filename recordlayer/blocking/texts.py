# Generated from recordlayer/aio/texts.py by tests/house/generate_blocking.py: do not edit.
"""Searching texts, in the blocking facade."""

from __future__ import annotations

from collections.abc import Iterable

from recordlayer.blocking.cursor import EntryCursor, RecordCursor
from recordlayer.cursor.limits import NO_LIMITS, Limits
from recordlayer.index.text_scan import Match
from recordlayer.store.searching import Texts as Core
from recordlayer.waiting.drivers import run_blocking


class Texts:
    """The texts of a TEXT index, of one group if it has groups: `RecordStore.texts`.

    What is looked for is a text, which the index's tokenizer cuts, or a list of tokens as they are. How they must match
    says `match`:

        "all"           all of the tokens are there                     "prefix"        a token begins so
        "any"           one of them is there                            "any prefix"    a token begins with one of them
        "phrase"        they follow each other                          "all prefixes"  one for each of them is there
        "within"        all of them, with `distance` between the first and the last: 1 for neighbours

    Tokens match as wholes: "apple" does not find "apples", the prefix "apple" does. In a phrase a word that the
    tokenizer leaves out stands for any word. Indexes without positions find texts that have all of the words for
    "phrase" and "within".
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def tokens(self, text: str) -> list[str]:
        """What the index's tokenizer makes of a text. Reads nothing."""
        return self._core.tokens(text)

    def entries(
        self,
        wanted: str | Iterable[str],
        *,
        match: Match | str = Match.ALL,
        distance: int = 0,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> EntryCursor:
        """The index entries (`token`, `positions`, `primary_key`) of texts that match: of each text the entry of the
        first token, in the order of primary keys. Prefixes give an entry for each token that begins so, in the order of
        the tokens.

        Parameters as in `RecordStore.query`.

        Cost    1 range read a chunk for each token, side by side; "all prefixes" keeps what all but the first find in
                memory.
        Raises  UsageError, BadContinuation.
        """
        core = self._core.entries(
            wanted,
            match,
            distance,
            reverse=reverse,
            limit=limit or 0,
            resume=resume,
            limits=limits,
            snapshot=snapshot,
        )
        return EntryCursor(core)

    def records(
        self,
        wanted: str | Iterable[str],
        *,
        match: Match | str = Match.ALL,
        distance: int = 0,
        reverse: bool = False,
        limit: int | None = None,
        resume: bytes | None = None,
        limits: Limits = NO_LIMITS,
        snapshot: bool = False,
    ) -> RecordCursor:
        """The records of these entries.  Cost  as `entries`, and 1 range read a record.  Raises  as `entries`."""
        core = self._core.records(
            wanted,
            match,
            distance,
            reverse=reverse,
            limit=limit or 0,
            resume=resume,
            limits=limits,
            snapshot=snapshot,
        )
        return RecordCursor(core)

    def tidy(self, *, limit: int = 0, resume: bytes | None = None) -> bytes | None:
        """Have the index (all of its groups) take less room: neighbours in half empty bunches are put together. Of
        large indexes about `limit` pairs in this transaction; what comes back is where to `resume` in another, None at
        the end. Searches find the same before and after.

        Cost    1 range read a chunk; 1-2 writes for each bunch that changes.
        Raises  StoreLocked.
        """
        return run_blocking(self._core.tidy(limit=limit, resume=resume))
