"""LIKE: patterns of text in which % stands for any text and _ for one character.

An escape character takes the meaning from the %, _ or escape character behind it; before anything else it is refused.

Source  SQL:2016, <like predicate>; Record Layer, LikeOperatorValue
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from recordlayer.errors import UsageError, WrongType


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern. `escape` is one character, or None for no escapes."""

    text: str
    escape: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise WrongType(argument="pattern", value=self.text, hint='a pattern is text: like("a%")')
        if self.escape is not None and (not isinstance(self.escape, str) or len(self.escape) != 1):
            raise UsageError(argument="escape", got=self.escape, hint="give one character")
        self.parts()

    def parts(self) -> list[tuple[bool, str]]:
        """Its characters, each with whether it is a wildcard.  Raises  UsageError for an escape without meaning."""
        found: list[tuple[bool, str]] = []
        escaped = False
        for place, character in enumerate(self.text):
            if escaped:
                if character not in ("%", "_", self.escape):
                    raise UsageError(pattern=self.text, place=place, hint="only %, _ and the escape itself are escaped")
                found.append((False, character))
                escaped = False
            elif character == self.escape:
                escaped = True
            else:
                found.append((character in "%_", character))
        if escaped:
            raise UsageError(pattern=self.text, hint="the pattern ends with its escape character")
        return found

    @property
    def start(self) -> str:
        """The text with which all that matches begins."""
        start = ""
        for wild, character in self.parts():
            if wild:
                break
            start += character
        return start

    @property
    def is_start(self) -> bool:
        """Whether all that begins with `start` matches."""
        parts = self.parts()
        return len(parts) == len(self.start) + 1 and parts[-1] == (True, "%")

    @property
    def kind(self) -> tuple[bool, bool, bool]:
        """What decides how it is looked for: whether it has a start, is nothing but that, has a wildcard at all."""
        return bool(self.start), self.is_start, any(wild for wild, _ in self.parts())

    def matcher(self) -> Callable[[str], bool]:
        """A function that says whether a whole text matches, in time proportional to both lengths at most."""
        pieces = [""]
        for wild, character in self.parts():
            if wild and character == "%":
                pieces.append("")
            else:
                pieces[-1] += "." if wild else re.escape(character)
        first, *middle = [re.compile(piece, re.DOTALL) for piece in pieces]
        if not middle:
            return lambda text: first.fullmatch(text) is not None
        last, last_length = middle.pop(), len(self._last())

        def matches(text: str) -> bool:
            begun = first.match(text)
            if begun is None:
                return False
            at = begun.end()
            for piece in middle:
                found = piece.search(text, at)
                if found is None:
                    return False
                at = found.end()
            return len(text) - last_length >= at and last.fullmatch(text, len(text) - last_length) is not None

        return matches

    def _last(self) -> list[str]:
        """The characters behind the last %."""
        found: list[str] = []
        for wild, character in self.parts():
            found = [] if wild and character == "%" else [*found, character]
        return found

    def __repr__(self) -> str:
        escape = "" if self.escape is None else f" escape {self.escape!r}"
        return f"{self.text!r}{escape}"
