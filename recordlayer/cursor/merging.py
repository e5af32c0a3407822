"""What several scans found, as one, in one step: for scans that have ended, each of which has no key twice.

Source  ours
"""

from __future__ import annotations

from itertools import chain

from recordlayer.core import in_c
from recordlayer.kv.engine import KeyValue


@in_c("united")
def united(pages: list[list[KeyValue]], known: list[int], reverse: bool) -> list[bytes]:
    """What follows the first `known` bytes of the keys of any page, in order, each once.

    known    for each page; behind so many bytes its keys are in order
    reverse  that order, and the one asked for, descends
    """
    found = {key[at:] for pairs, at in zip(pages, known, strict=True) for key, _ in pairs}
    return sorted(found, reverse=reverse)


@in_c("shared")
def shared(pages: list[list[KeyValue]], known: list[int], reverse: bool) -> list[bytes]:
    """The same for what the keys of all pages have."""
    (first, at), *others = zip(pages, known, strict=True)
    found = {key[at:] for key, _ in first}
    for pairs, start in others:
        found.intersection_update([key[start:] for key, _ in pairs])
    return sorted(found, reverse=reverse)


@in_c("bytes_of")
def bytes_of(pairs: list[KeyValue]) -> int:
    """Bytes of keys and values together."""
    return sum(map(len, chain.from_iterable(pairs)))
