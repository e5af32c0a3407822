"""What a query says about the indexes that may answer it. Its results do not depend on that.

Source  Record Layer, RecordQuery.setAllowedIndexes, IndexQueryabilityFilter; trial indexes are ours
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recordlayer.index.state import IndexState
    from recordlayer.metadata import Index, RecordMetaData


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """Names of indexes.

    allowed  the only ones that may be used, also if their option keeps them from queries; None for all that may be
    hidden   those that may not
    chosen   the application chooses which records each index is kept for, and no plan can know which it left out: only
             indexes that are `allowed` by name may be used
    trial    those that are planned with as if they were readable. A plan that chose one cannot run before it is
    """

    allowed: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()
    trial: frozenset[str] = frozenset()
    chosen: bool = False

    def check(self, metadata: RecordMetaData) -> None:
        """Raises  UnknownIndex for a name that is none of an index."""
        for name in sorted({*(self.allowed or ()), *self.hidden, *self.trial}):
            metadata.index(name)

    def against(self, index: Index, state: IndexState) -> str | None:
        """Why an index may not be used, None if it may."""
        if index.name in self.hidden:
            return "is hidden from this query"
        if self.allowed is not None and index.name not in self.allowed:
            return "is not among the indexes that this query allows"
        if self.chosen and self.allowed is None:
            return "may lack records that index_filter leaves out: use_indexes says that it has those asked for"
        if not state.is_readable and index.name not in self.trial:
            return f"is {state.name}"
        if not index.allowed_for_query and self.allowed is None and index.name not in self.trial:
            return "is not allowed for queries"
        return None


NO_HINTS = Hints()
