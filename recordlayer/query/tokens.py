"""Which words a text has, for conditions that are decided on the text itself: the tokenizers by name.

Source  Record Layer, TextTokenizerRegistry, DefaultTextTokenizer
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from recordlayer.errors import UsageError

_WORD = re.compile(r"\w+(?:[.'\u2019:]\w+)*")
_MARK = re.compile("[\u0300-\u036f]")


def default(text: str) -> list[str]:
    """Words in lower case without accents."""
    found = []
    for word in _WORD.findall(text):
        normal = unicodedata.normalize("NFKD", word)
        if any(character.isalnum() for character in normal):
            found.append("".join(one for one in normal.lower() if not unicodedata.category(one).startswith("M")))
    return found


def tokenizer(name: str | None) -> Callable[[str], Sequence[str]]:
    """The tokenizer of this name.  Raises  UsageError."""
    if name in (None, "default"):
        return default
    raise UsageError(tokenizer=name, hint='there is the tokenizer "default"')
