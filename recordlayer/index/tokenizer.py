"""Tokenizers: which words a text has, and at which places. They are known by name, and have versions.

An index keeps the version that a record's text was cut with, so a tokenizer gives for each version what it always gave.
Built in are

    default    the words of a text as Java's word breaks cut it: normalised, in lower case, without marks
    prefix     the same, and of each word only the beginning: 3 characters in version 0, 4 in version 1
    filter     the same without very short and very long words: options textTokenMinSize, textTokenMaxSize
    whitespace what stands between blanks, as it is

Another package offers one with an entry point in the group `recordlayer.tokenizers`, named as the tokenizer, that gives
a class with the shape of `Tokenizer`; `register` adds one for this process. The name `default` is the only one that the
Java Record Layer itself knows: there an application registers the others.

Source  Record Layer, TextTokenizer, TextTokenizerRegistry; PrefixTextTokenizer and FilteringTextTokenizer of its tests
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import ClassVar, Protocol

from recordlayer.errors import IndexNotSupported
from recordlayer.index.tokenizer_words import words
from recordlayer.metadata import Index

GROUP = "recordlayer.tokenizers"
NAME, VERSION = "textTokenizerName", "textTokenizerVersion"
MIN_SIZE, MAX_SIZE = "textTokenMinSize", "textTokenMaxSize"
DEFAULT_NAME = "default"

Positions = dict[str, list[int]]
"""For each token of a text its places, ascending, from 0."""


class Tokenizer(Protocol):
    """Cuts texts into tokens. Made once for an index, with the index's options."""

    name: ClassVar[str]
    versions: ClassVar[range]
    """the versions there are"""

    def __init__(self, options: Mapping[str, str]) -> None: ...

    def tokens(self, text: str, version: int, *, asking: bool = False) -> Sequence[str]:
        """The tokens in order. An empty one takes up a place and is not indexed. `asking`: of a text that is looked
        for; most tokenizers make no difference."""


class DefaultTokenizer:
    """Words, normalised: NFKD, lower case, marks removed."""

    name: ClassVar[str] = DEFAULT_NAME
    versions: ClassVar[range] = range(1)

    def __init__(self, options: Mapping[str, str]) -> None:
        pass

    def tokens(self, text: str, version: int, *, asking: bool = False) -> Sequence[str]:
        return words(text)


class PrefixTokenizer:
    """The first characters of each word."""

    name: ClassVar[str] = "prefix"
    versions: ClassVar[range] = range(2)

    def __init__(self, options: Mapping[str, str]) -> None:
        pass

    def tokens(self, text: str, version: int, *, asking: bool = False) -> Sequence[str]:
        size = 3 + version
        return [word[:size] for word in words(text)]


class FilterTokenizer:
    """Words of a size between two bounds. The others take up a place and are not indexed."""

    name: ClassVar[str] = "filter"
    versions: ClassVar[range] = range(1)

    def __init__(self, options: Mapping[str, str]) -> None:
        self._least = _size(options, MIN_SIZE, 0)
        self._most = _size(options, MAX_SIZE, 1 << 30)

    def tokens(self, text: str, version: int, *, asking: bool = False) -> Sequence[str]:
        least, most = self._least, self._most
        return [word if least <= len(word) <= most else "" for word in words(text)]


class WhitespaceTokenizer:
    """What stands between blanks, as it is."""

    name: ClassVar[str] = "whitespace"
    versions: ClassVar[range] = range(1)

    def __init__(self, options: Mapping[str, str]) -> None:
        pass

    def tokens(self, text: str, version: int, *, asking: bool = False) -> Sequence[str]:
        return text.split()


def _size(options: Mapping[str, str], name: str, otherwise: int) -> int:
    given = options.get(name)
    if given is None:
        return otherwise
    if not given.isdecimal():
        raise IndexNotSupported(option=name, value=given, hint=f"{name} is a number of characters")
    return int(given)


BUILT_IN: tuple[type[Tokenizer], ...] = (DefaultTokenizer, PrefixTokenizer, FilterTokenizer, WhitespaceTokenizer)

_BY_NAME: dict[str, Callable[[Mapping[str, str]], Tokenizer]] = {built_in.name: built_in for built_in in BUILT_IN}


def register(tokenizer: type[Tokenizer]) -> None:
    """Have indexes of this process find a tokenizer by its name.  Raises  IndexNotSupported if another one has it."""
    known = _BY_NAME.setdefault(tokenizer.name, tokenizer)
    if known is not tokenizer:
        raise IndexNotSupported(tokenizer=tokenizer.name, hint="a tokenizer of this name is known already")


@cache
def _offered() -> dict[str, Callable[[Mapping[str, str]], Tokenizer]]:
    from importlib import metadata  # takes tens of milliseconds, and only an unknown name asks for it

    return {point.name: point.load() for point in metadata.entry_points(group=GROUP)}


def named(name: str) -> Callable[[Mapping[str, str]], Tokenizer] | None:
    """What makes the tokenizer of a name; None if nothing of that name is known."""
    return _BY_NAME.get(name) or _offered().get(name)


class IndexTokenizer:
    """The tokenizer of one index.

    version  the one that texts are indexed with from now on
    """

    __slots__ = ("_index", "_tokenizer", "version")

    def __init__(self, index: Index) -> None:
        """Raises  IndexNotSupported for an unknown tokenizer or version."""
        name = index.options.get(NAME, DEFAULT_NAME)
        make = named(name)
        if make is None:
            hint = f"tokenizers are {', '.join(sorted({*_BY_NAME, *_offered()}))}"
            raise IndexNotSupported(index=index.name, tokenizer=name, hint=hint)
        self._index = index
        self._tokenizer = make(index.options)
        given = index.options.get(VERSION, "0")
        if not given.isdecimal():
            raise IndexNotSupported(index=index.name, version=given, hint=f"{VERSION} is a number")
        self.version = int(given)
        self._check(self.version)

    def _check(self, version: int) -> None:
        tokenizer = self._tokenizer
        if version not in tokenizer.versions:
            hint = f"{tokenizer.name} has versions {tokenizer.versions.start} to {tokenizer.versions.stop - 1}"
            raise IndexNotSupported(index=self._index.name, tokenizer=tokenizer.name, version=version, hint=hint)

    def positions(self, text: str, version: int) -> Positions:
        """The tokens of a text that is indexed.  Raises  IndexNotSupported for an unknown version."""
        if version != self.version:
            self._check(version)
        found: Positions = {}
        for place, token in enumerate(self._tokenizer.tokens(text, version)):
            if token:
                places = found.get(token)
                if places is None:
                    found[token] = [place]
                else:
                    places.append(place)
        return found

    def asked(self, text: str) -> Sequence[str]:
        """The tokens of a text that is looked for, in order; an empty one is a place where anything may stand."""
        return self._tokenizer.tokens(text, self.version, asking=True)
