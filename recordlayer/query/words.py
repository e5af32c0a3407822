"""Comparisons of a text's words: what a TEXT index answers, decided on the text itself.

Both the text and what is looked for become tokens by the same tokenizer. A token without letters and digits left is a
stop word, an empty token: it is found nowhere, and what consists of such words only is unknown for every text.

Source  Record Layer, Comparisons.TextComparison and the compareText... functions
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recordlayer.query.tokens import Cut

Truth = bool | None
Tokens = Sequence[str]


class Kind(enum.Enum):
    """The values are the words in explanations."""

    ALL = "contains all of"
    ANY = "contains one of"
    PHRASE = "contains the phrase"
    PREFIX = "contains a word that begins with"
    ALL_PREFIXES = "contains words that begin with all of"
    ANY_PREFIX = "contains a word that begins with one of"
    WITHIN = "contains, close together, all of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What is looked for.

    tokens     a text that is yet to be cut into tokens, or tokens as they are
    within     for WITHIN: all of them lie among so many tokens in a row, and one more
    tokenizer  its name, None for that of the field's indexes, or else the default one
    cut        how texts are cut, once that is known: the planner finds out
    """

    kind: Kind
    tokens: str | tuple[str, ...]
    within: int = 0
    tokenizer: str | None = None
    cut: Cut | None = None

    def wanted(self, asked: Callable[[str], Tokens]) -> tuple[str, ...]:
        """The tokens that are looked for."""
        return tuple(asked(self.tokens)) if isinstance(self.tokens, str) else self.tokens

    @property
    def like(self) -> tuple[object, ...]:
        """What decides how they are looked for: all but the words, of which about how many there are."""
        words = self.tokens.split() if isinstance(self.tokens, str) else self.tokens
        return self.kind, self.within, self.tokenizer, type(self.tokens), len(set(words))

    def decider(self, tokenize: Callable[[str], Tokens], asked: Callable[[str], Tokens]) -> Callable[[str], Truth]:
        """A function that decides for a text; `asked` cuts what is looked for."""
        wanted = self.wanted(asked)
        within = self.within
        if self.kind is Kind.PHRASE:
            return lambda text: contains_phrase(tokenize(text), wanted)
        if self.kind is Kind.WITHIN:
            return lambda text: contains_within(tokenize(text), wanted, within)
        test = _TESTS[self.kind]
        sought = frozenset(wanted) - {""}
        if not sought:
            return lambda text: None
        return lambda text: test(tokenize(text), sought)

    def __str__(self) -> str:
        near = f" within {self.within}" if self.kind is Kind.WITHIN else ""
        tokens = self.tokens if isinstance(self.tokens, str) else list(self.tokens)
        return f"{self.kind.value} {tokens!r}{near}"


def _all(tokens: Tokens, sought: frozenset[str]) -> bool:
    return sought <= set(tokens)


def _any(tokens: Tokens, sought: frozenset[str]) -> bool:
    return any(token in sought for token in tokens)


def _all_prefixes(tokens: Tokens, sought: frozenset[str]) -> bool:
    return all(any(token.startswith(start) for token in tokens) for start in sought)


def _any_prefix(tokens: Tokens, sought: frozenset[str]) -> bool:
    starts = tuple(sought)
    return any(token.startswith(starts) for token in tokens)


_TESTS: dict[Kind, Callable[[Tokens, frozenset[str]], bool]] = {
    Kind.ALL: _all,
    Kind.ANY: _any,
    Kind.PREFIX: _any_prefix,
    Kind.ALL_PREFIXES: _all_prefixes,
    Kind.ANY_PREFIX: _any_prefix,
}


def contains_within(tokens: Tokens, wanted: Tokens, within: int) -> Truth:
    """Whether all tokens looked for lie among `within` + 1 tokens in a row."""
    sought = frozenset(wanted) - {""}
    if not sought:
        return None
    if len(sought) == 1:
        return _any(tokens, sought)
    seen: Counter[str] = Counter()
    window: deque[str] = deque()
    for token in tokens:
        if token in sought:
            seen[token] += 1
            if len(seen) == len(sought):
                return True
        if len(window) == within:
            oldest = window.popleft() if window else ""
            if seen[oldest] <= 1:
                del seen[oldest]
            else:
                seen[oldest] -= 1
        window.append(token)
    return False


def contains_phrase(tokens: Tokens, wanted: Tokens) -> Truth:
    """Whether the tokens looked for follow each other. A stop word in their midst stands for any one token, because an
    index does not know which it was; at their ends it does not count."""
    phrase = list(wanted)
    while phrase and not phrase[0]:
        phrase.pop(0)
    while phrase and not phrase[-1]:
        phrase.pop()
    if not phrase:
        return None
    for begin in range(len(tokens) - len(phrase) + 1):
        if all(not one or one == tokens[begin + place] for place, one in enumerate(phrase)):
            return True
    return False
