"""Which options of an index may change while its entries stay, by type.

Source  Record Layer: IndexValidator.validateChangedOptions and what index types make of it
"""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.metadata.expiry import EXPIRES
from recordlayer.metadata.index import ALLOWED_FOR_QUERY, REPLACED_BY, UNIQUE, Index

Read = Callable[[str | None], object]

_CHANGED = "its entries would be others: give it a higher last modified version"


def _number(default: int) -> Read:
    return lambda value: default if value is None else value if not value.lstrip("-").isdecimal() else int(value)


def _flag(default: bool) -> Read:
    return lambda value: default if value is None else value.lower() == "true"


def _word(default: str) -> Read:
    return lambda value: default if value is None else value


SAME_MEANING: dict[str, dict[str, Read]] = {
    "rank": {
        "rankNLevels": _number(6),
        "rankHashFunction": _word("JDK"),
        "rankCountDuplicates": _flag(False),
    },
    "multidimensional": {
        "rtreeMinimumM": _number(16),
        "rtreeMaximumM": _number(32),
        "rtreeSplitS": _number(2),
        "rtreeStorage": _word("BY_NODE"),
        "rtreeUseNodeSlotIndex": _flag(False),
    },
    "text": {"textTokenizerName": _word("default")},
}
"""Options that may change only between two ways to say the same: left away, and the default written out."""

FREE: dict[str, frozenset[str]] = {
    "text": frozenset({"textAddAggressiveConflictRanges", "textOmitPositions"}),
    "vector": frozenset(
        {
            *[f"{family}SampleVectorStatsProbability" for family in ("vector", "hnsw")],
            *[f"{family}MaintainStatsProbability" for family in ("vector", "hnsw")],
            *[f"{family}StatsThreshold" for family in ("vector", "hnsw")],
            "hnswMaxNumConcurrentNodeFetches",
            "hnswMaxNumConcurrentNeighborhoodFetches",
            "hnswMaxNumConcurrentDeleteFromLayer",
            "guardiannSampleBatchSize",
            "guardiannDeleteConcurrency",
            "guardiannSplitMergeConcurrency",
            "guardiannReassignConcurrency",
            "guardiannCollapseConcurrency",
            "guardiannBounceConcurrency",
            "guardiannPrimaryClusterHardMax",
        }
    ),
}
"""Options that say how an index is maintained, not what is in it."""


def objection(old: Index, new: Index, name: str) -> str | None:
    """Why an option may not change between two versions of an index; None if it may."""
    if name in (ALLOWED_FOR_QUERY, EXPIRES) or name.startswith(REPLACED_BY) or name in FREE.get(new.type, ()):
        return None
    if name == UNIQUE:
        return "stored records may break it" if new.unique and not old.unique else None
    before, after = old.options.get(name), new.options.get(name)
    if new.type == "text" and name == "textTokenizerVersion":
        read = _number(0)
        lower = _order(read(after)) < _order(read(before))
        return "a text that was indexed with a later version would be read with an earlier one" if lower else None
    if new.type == "multidimensional" and name == "rtreeStoreHilbertValues":
        return None if _stores_hilbert_values(old) == _stores_hilbert_values(new) else _CHANGED
    same = SAME_MEANING.get(new.type, {}).get(name)
    if same is not None and same(before) == same(after):
        return None
    return _CHANGED


def _order(number: object) -> int:
    return number if isinstance(number, int) else 0


def _stores_hilbert_values(index: Index) -> bool:
    """Java reads this option only where a storage is given, and then takes its absence for false."""
    if "rtreeStorage" not in index.options:
        return True
    return index.flag("rtreeStoreHilbertValues")
