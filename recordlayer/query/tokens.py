"""Which words a text has, for conditions that are decided on the text itself: the tokenizers of TEXT indexes, by name.

Source  Record Layer, Comparisons.TextComparison: the newest version of the tokenizer
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from recordlayer.errors import UsageError
from recordlayer.index.tokenizer import DEFAULT_NAME, named


class Tokenize(NamedTuple):
    """Cuts texts into tokens: those that are stored, and those that are looked for."""

    stored: Callable[[str], Sequence[str]]
    asked: Callable[[str], Sequence[str]]


def tokenizer(name: str | None) -> Tokenize:
    """The tokenizer of this name; without one, the default.  Raises  UsageError."""
    make = named(name or DEFAULT_NAME)
    if make is None:
        raise UsageError(tokenizer=name, hint="no tokenizer of this name is known: register it first")
    made = make({})
    version = made.versions[-1]
    return Tokenize(
        lambda text: made.tokens(text, version),
        lambda text: made.tokens(text, version, asking=True),
    )
