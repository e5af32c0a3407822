"""Which words a text has, for conditions that are decided on the text itself: the tokenizers of TEXT indexes, by name.

A condition that names no tokenizer means that of the TEXT indexes over its field, if they agree on one, and else the
default one. That goes by the metadata alone, so that a query means the same whether an index can be used or not.

Source  Record Layer, Comparisons.TextComparison: the newest version of a tokenizer that is named
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from recordlayer.errors import UsageError
from recordlayer.index.columns import field_column
from recordlayer.index.tokenizer import DEFAULT_NAME, MAX_SIZE, MIN_SIZE, NAME, VERSION, Tokenizer, named
from recordlayer.keys import Grouping
from recordlayer.metadata import Index, RecordMetaData, RecordType
from recordlayer.query.comparison import Operator
from recordlayer.query.predicate import And, Compare, Not, NotTrue, Or, Path, Predicate, walk
from recordlayer.query.words import Words


class Tokenize(NamedTuple):
    """Cuts texts into tokens: those that are stored, and those that are looked for."""

    stored: Callable[[str], Sequence[str]]
    asked: Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Cut:
    """A way to cut texts: a tokenizer, its version and its options."""

    name: str
    version: int
    options: tuple[tuple[str, str], ...] = ()

    @property
    def has_versions(self) -> bool:
        """Whether texts may have been cut by another version of the tokenizer."""
        make = named(self.name)
        return make is not None and len(make(dict(self.options)).versions) > 1


def tokenizer(cut: Cut) -> Tokenize:
    """What cuts texts so.  Raises  UsageError for an unknown tokenizer."""
    made = _made(cut.name, dict(cut.options))
    return Tokenize(
        lambda text: made.tokens(text, cut.version),
        lambda text: made.tokens(text, cut.version, asking=True),
    )


def newest(name: str | None) -> Cut:
    """The newest version of the tokenizer of this name; without one, of the default.  Raises  UsageError."""
    own = name or DEFAULT_NAME
    return Cut(own, _made(own, {}).versions[-1])


def of_index(index: Index) -> Cut:
    """How a TEXT index cuts texts."""
    own = tuple(sorted((key, value) for key, value in index.options.items() if key in (MIN_SIZE, MAX_SIZE)))
    return Cut(index.options.get(NAME, DEFAULT_NAME), int(index.options.get(VERSION, "0")), own)


def _made(name: str, options: dict[str, str]) -> Tokenizer:
    make = named(name)
    if make is None:
        raise UsageError(tokenizer=name, hint="no tokenizer of this name is known: register it first")
    return make(options)


def with_tokenizers(condition: Predicate, metadata: RecordMetaData, types: Sequence[RecordType]) -> Predicate:
    """The same condition, every comparison of words with the way in which texts are cut for it."""
    if not any(isinstance(one, Compare) and one.operator is Operator.TEXT for one in walk(condition)):
        return condition
    indexes = [index for index in metadata.indexes.values() if index.type == "text"]

    def settled(one: Compare) -> Compare:
        words = one.value
        if one.operator is not Operator.TEXT or not isinstance(words, Words) or words.cut is not None:
            return one
        found = {of_index(index) for index in indexes if _is_over(index, one.path, metadata, types)}
        cut = found.pop() if words.tokenizer is None and len(found) == 1 else newest(words.tokenizer)
        return replace(one, value=replace(words, cut=cut))

    return _with_comparisons(condition, settled)


def _is_over(index: Index, path: Path, metadata: RecordMetaData, types: Sequence[RecordType]) -> bool:
    """Whether the texts of an index are those of a field of one of some types."""
    root = index.root_expression
    text = root.normalized()[root.grouping_count if isinstance(root, Grouping) else 0]
    covered = {known.name for known in metadata.kinds_of(index)}
    for known in types:
        field = field_column(text, known.descriptor) if known.name in covered else None
        if field is not None and field.path == tuple([step.name for step in path]):
            return True
    return False


def _with_comparisons(condition: Predicate, change: Callable[[Compare], Compare]) -> Predicate:
    if isinstance(condition, Compare):
        return change(condition)
    if isinstance(condition, (And, Or)):
        return type(condition)(tuple([_with_comparisons(child, change) for child in condition.children]))
    if isinstance(condition, (Not, NotTrue)):
        return type(condition)(_with_comparisons(condition.child, change))
    return condition  # of conditions on elements no index has the texts
