"""The name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

_LONGEST, _MOST = 100, 1000  # comparing is quadratic: names from elsewhere may be of any length and number


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """A hint with the nearest of some names, if one is near."""
    if len(name) > _LONGEST:
        return None
    near = [each for each in islice(names, _MOST) if len(each) <= _LONGEST]
    close = difflib.get_close_matches(name, near, n=1)
    return f'did you mean "{close[0]}"?' if close else None


def listed(names: Iterable[str]) -> str:
    """Some names for a person to choose from."""
    few = [each[:_LONGEST] for each in islice(names, 31)]
    return ", ".join(few[:30]) + (", ..." if len(few) > 30 else "") if few else "none at all"
