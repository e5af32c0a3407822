"""TEXT indexes: words, phrases and beginnings of words in one text of each record, of groups that are bound to values.

Texts that match all of some words, one of them, or a phrase come in the order of what stands behind the word, once
each; those with words that begin so come word by word, and once for each such word.

Source  Record Layer, TextScanPlanner, TextIndexMaintainer
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recordlayer.cursor.scan import ScanOptions
from recordlayer.cursor.step import Cursor
from recordlayer.index.bounds import Bounds
from recordlayer.index.text import TextIndex
from recordlayer.index.text_entry import TextEntry
from recordlayer.index.text_scan import Match as Found
from recordlayer.index.text_scan import TextSearch, search
from recordlayer.keys import Grouping, KeyExpression
from recordlayer.metadata import Index
from recordlayer.query.comparison import Operator
from recordlayer.query.cost import TEXT, Estimate
from recordlayer.query.identity import parts_of
from recordlayer.query.match import Bound
from recordlayer.query.plan.entries import ScanBy
from recordlayer.query.plan.fetch import IsFirst
from recordlayer.query.predicate import Compare
from recordlayer.query.serving.protocol import Asked, Offer
from recordlayer.query.tokens import of_index, tokenizer
from recordlayer.query.words import Kind, Words
from recordlayer.store.record import StoredRecord
from recordlayer.store.store import RecordStore

_FOUND = {
    Kind.ALL: Found.ALL,
    Kind.ANY: Found.ANY,
    Kind.PHRASE: Found.PHRASE,
    Kind.WITHIN: Found.WITHIN,
    Kind.PREFIX: Found.PREFIX,
    Kind.ANY_PREFIX: Found.ANY_PREFIX,
    Kind.ALL_PREFIXES: Found.ALL_PREFIXES,
}
_BY_PLACES = (Kind.PHRASE, Kind.WITHIN)


def serve(asked: Asked) -> Iterator[Offer]:
    """A search for each condition on the words of the index's text."""
    index = asked.index
    root = index.root_expression
    at = root.grouping_count if isinstance(root, Grouping) else 0
    text = asked.columns[at]
    wanted = [
        one
        for one in asked.conditions
        if isinstance(one, Compare) and one.operator is Operator.TEXT and text.path == one.path
    ]
    if not wanted:
        asked.refuse("answers conditions on the words of its text only")
        return
    if text.repeats or at in (index.primary_key_positions or ()):
        asked.refuse("has the words of several texts together")
        return
    if any(column.repeats for column in asked.columns[at + 1 :]):
        asked.refuse("repeats records in a way that no condition speaks about")
        return
    group = asked.bound(asked.columns[:at])
    if group is None:
        asked.refuse("is looked up by its group, and no condition binds that")
        return
    for condition in wanted:
        words: Words = condition.value
        if words.cut != of_index(index):
            asked.refuse("cuts texts into other words")
        else:
            yield _search(asked, condition, group, at)


def _search(asked: Asked, condition: Compare, group: Bound, at: int) -> Offer:
    index, words = asked.index, condition.value
    cut = of_index(index)
    wanted = TextSearch(
        match=_FOUND[words.kind],
        tokens=words.wanted(tokenizer(cut).asked),
        group=group.values,
        distance=words.within,
    )
    if words.kind in _BY_PLACES and index.flag("textOmitPositions"):
        wanted = TextSearch(match=Found.ALL, tokens=wanted.tokens, group=group.values)
        answered = group.answered
    else:
        answered = (*group.answered, condition)

    def open_scan(maintainer: TextIndex, options: ScanOptions) -> Cursor[TextEntry]:
        return search(maintainer.scan, wanted, Bounds.ALL, options)

    columns, reader = asked.hiding(at)
    some = len({token for token in wanted.tokens if token}) or 1
    part = TEXT * some if wanted.match in (Found.ANY, Found.ANY_PREFIX) else TEXT / some
    knowledge = asked.problem.knowledge
    part *= knowledge.part_bound(asked.columns[:at])
    rows = max(1.0, part * knowledge.entries(index, asked.problem.metadata))
    what = ", ".join([str(one) for one in (*group.answered, condition)])
    scan = ScanBy(
        index,
        "Search",
        what,
        (parts_of(wanted), cut.name, cut.version, parts_of(cut.options)),
        open_scan,
        Estimate(rows, rows * (1 if wanted.match is Found.ANY else some), 1),
        reverse=asked.reverse,
    )
    once = None
    if not wanted.is_ordered:
        text = index.root_expression.normalized()[at]
        once = _FirstWord(index, text, wanted.tokens, wanted.match, asked.reverse)
    return asked.offer(
        scan,
        answered=answered,
        equalities=at + 1,
        repeats=once is not None,
        ordered=wanted.is_ordered,
        once=once,
        columns=columns,
        reader=reader,
    )


@dataclass(frozen=True, slots=True)
class _FirstWord:
    """Keeps a record at the first of its words that begin as those looked for."""

    index: Index
    text: KeyExpression
    starts: tuple[str, ...]
    match: Found
    reverse: bool

    def of(self, store: RecordStore) -> IsFirst:
        stored = tokenizer(of_index(self.index)).stored
        tokens = [start for start in self.starts if start]
        starts = tuple(tokens[:1] if self.match is Found.ALL_PREFIXES else tokens)
        first = max if self.reverse else min

        def is_first(entry: Any, record: StoredRecord) -> bool:
            ((text,),) = self.text.evaluate(record.message, record.key_context)
            found = [token for token in stored(text or "") if token.startswith(starts)]
            return bool(found) and first(found) == entry.token

        return is_first
