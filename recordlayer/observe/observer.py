"""Who is told what happens.

An observer says which kinds of events it wants and gets those, in the thread or task where they happen, one at a time
in each. It should be quick, and it must not use the database. One that raises is reported to the log once; nobody else
notices.

Cost    without an observer: a comparison with None for each operation of a facade, nothing for each key. Kinds that
        nobody wants are never made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from recordlayer.errors import WrongType
from recordlayer.observe.events import KINDS, Event

E = TypeVar("E", bound=Event)

_log = logging.getLogger("recordlayer.observe")


class Observer(Protocol):
    """Something that is told."""

    def wants(self, kind: type[Event]) -> bool:
        """Whether events of this kind are to be observed. Asked once, when a database is opened."""

    def observe(self, event: Event) -> None:
        """Take note. Kinds that are not wanted may come all the same, when observers are put together."""


@dataclass(frozen=True, slots=True)
class SpanIdentity:
    """A span as W3C's trace context identifies it: 16 bytes of its trace, 8 of its own, and whether it is kept."""

    trace: bytes
    span: bytes
    sampled: bool


@runtime_checkable
class Tracing(Protocol):
    """Observers that have a span for each transaction, which a cluster's own tracing can go on from."""

    def span_of(self, transaction: int) -> SpanIdentity | None:
        """The span of a transaction under way, if there is one."""


class _Nothing:
    """Observes nothing."""

    def wants(self, kind: type[Event]) -> bool:
        return False

    def observe(self, event: Event) -> None:
        return None

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Observer = _Nothing()
"""The observer that wants nothing. Costs the same as None."""


class Callbacks:
    """An observer made of functions, by kind of event. A function for a base class gets all kinds below it.

    Callbacks({ConflictMet: lambda event: print(*event.conflicts)})
    """

    def __init__(self, functions: Mapping[type[E], Callable[[E], object]]) -> None:
        self._functions: dict[type[Event], Callable[[Any], object]] = dict(functions)  # type: ignore[arg-type]  # checked
        self._by_kind: dict[type[Event], tuple[Callable[[Any], object], ...]] = {}
        for kind, function in functions.items():
            if not (isinstance(kind, type) and issubclass(kind, Event)):
                raise WrongType(argument="functions", got=kind, hint="give classes of recordlayer.observe.events")
            if not callable(function):
                raise WrongType(argument="functions", kind=kind.__name__, got=function, hint="give a function")

    def wants(self, kind: type[Event]) -> bool:
        return bool(self._of(kind))

    def observe(self, event: Event) -> None:
        for function in self._of(type(event)):
            function(event)

    def _of(self, kind: type[Event]) -> tuple[Callable[[Any], object], ...]:
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(function for wanted, function in self._functions.items() if issubclass(kind, wanted))
            self._by_kind[kind] = found
        return found


class Observers:
    """Several observers as one. Each gets what it wants; one that raises does not keep the others from it."""

    def __init__(self, *observers: Observer) -> None:
        for observer in observers:
            _check(observer)
        self.observers = tuple(part for observer in observers for part in _parts(observer))
        self._tracing = tuple(observer for observer in self.observers if isinstance(observer, Tracing))
        self._by_kind: dict[type[Event], tuple[Observer, ...]] = {}
        self._reported: set[int] = set()

    def wants(self, kind: type[Event]) -> bool:
        return bool(self._of(kind))

    def observe(self, event: Event) -> None:
        for observer in self._of(type(event)):
            try:
                observer.observe(event)
            except Exception:
                self._report(observer, event)

    def _of(self, kind: type[Event]) -> tuple[Observer, ...]:
        found = self._by_kind.get(kind)
        if found is None:
            found = self._by_kind[kind] = tuple(one for one in self.observers if one.wants(kind))
        return found

    def span_of(self, transaction: int) -> SpanIdentity | None:
        for observer in self._tracing:
            if (found := observer.span_of(transaction)) is not None:
                return found
        return None

    def _report(self, observer: Observer, event: Event) -> None:
        if id(observer) not in self._reported:
            self._reported.add(id(observer))
            _log.exception(
                "an observer failed; its further failures are not reported: observer=%r event=%s",
                observer,
                type(event).__name__,
            )

    def __repr__(self) -> str:
        return f"Observers({', '.join(map(repr, self.observers))})"


def effective(observer: Observer | None) -> Observers | None:
    """What a database keeps of the observer it was opened with: None if there is nothing to tell it.

    Raises  WrongType for what is no observer.
    """
    if observer is None or observer is NOTHING:
        return None
    together = Observers(observer)
    return together if any(together.wants(kind) for kind in KINDS) else None


def _parts(observer: Observer) -> tuple[Observer, ...]:
    return observer.observers if isinstance(observer, Observers) else (observer,)


def _check(observer: object) -> None:
    if not (callable(getattr(observer, "wants", None)) and callable(getattr(observer, "observe", None))):
        raise WrongType(
            argument="observer",
            got=type(observer).__name__,
            hint="an observer has wants(kind) and observe(event): see recordlayer.observe.observer",
        )
