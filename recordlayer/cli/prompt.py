"""Lines that are typed at a terminal, with completion of what a shell's session knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.shortcuts import CompleteStyle

from recordlayer.cli.expression import FUNCTIONS, OF_OPERANDS, OF_QUERIES
from recordlayer.cli.statement import CLAUSES, VERBS
from recordlayer.metadata import RecordMetaData

_WORD = re.compile(r"[\w$]*$")
_QUERY = re.compile(r"^\s*query\(.*\)\s*\.\w*$")


class Known(Protocol):
    """What there is to complete."""

    metadata: RecordMetaData

    @property
    def commands(self) -> Iterable[str]: ...


def prompted(known: Known, history: str | None) -> Iterator[str]:
    """Lines until Ctrl-D; Ctrl-C drops the one that is being typed."""
    kept = InMemoryHistory() if history is None else FileHistory(history)
    session: PromptSession[str] = PromptSession(
        history=kept,
        completer=LineCompleter(known),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
    )
    while True:
        try:
            yield session.prompt("> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


class LineCompleter(Completer):
    """Completes the word before the cursor."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        match = _WORD.search(text)
        word = "" if match is None else match[0]
        for name, what in sorted(self._words(text[: len(text) - len(word)], word)):
            if name.startswith(word):
                yield Completion(name, start_position=-len(word), display_meta=what)

    def _words(self, before: str, word: str) -> set[tuple[str, str]]:
        types = {(name, "record type") for name in self._known.metadata.record_types}
        said = before.split()
        if not said:
            return types | {(name, "") for name in self._known.commands} | {("query", "")}
        if said == said[:1] and said[0] in VERBS:
            return types | {("query", "")}
        if before.endswith("."):
            if _QUERY.match(before + word):
                return {(name, "") for name in OF_QUERIES}
            return {(name, "") for name in OF_OPERANDS} | self._fields(before)
        if said[0] in ("index", "inspect", "store", "migrate", "schema"):
            return {(name, "index") for name in self._known.metadata.indexes}
        if before.rstrip().endswith('"') or before.endswith(('("', ', "')):
            return types | self._fields(before) | {(name, "index") for name in self._known.metadata.indexes}
        return self._fields(before) | {(name, "") for name in (*CLAUSES, *FUNCTIONS, "and", "or", "not", "in", "is")}

    def _fields(self, before: str) -> set[tuple[str, str]]:
        """Fields of the record types that the line names, of all types if it names none."""
        types = self._known.metadata.record_types
        named = [one for name, one in types.items() if re.search(rf"\b{re.escape(name)}\b", before)]
        return {(field.name, "field") for one in named or types.values() for field in one.descriptor.fields}
