"""An engine whose commits fail as a test says, also when they have happened.

    engine = Faulty(open_engine("memory:"), [Fault.APPLIED, None, Fault.NOT_APPLIED])

The first commit that writes something is applied and answers `MaybeCommitted`, the second goes well, the third answers
`MaybeCommitted` and is not applied; later ones go well. Commits without writes draw nothing.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, cast

from recordlayer.errors import MaybeCommitted, TransactionError
from recordlayer.kv.engine import Engine, OptionValue, Transaction, TransactionOption
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.waitable import Failed, Waitable


class Fault(enum.Enum):
    """What happens to a commit whose caller is told `MaybeCommitted`."""

    NOT_APPLIED = "nothing"
    APPLIED = "it happens"
    LATE = "it happens when the next commit arrives, after its caller has looked whether it did"


class Faulty:
    """An engine around another.

    faults  for each commit that writes, in order: a Fault, a class of errors to answer without doing anything, or None
    told    how often each was injected, by name
    """

    def __init__(self, engine: Engine, faults: Iterable[Fault | type[TransactionError] | None]) -> None:
        self.engine = engine
        self.told: Counter[str] = Counter()
        self._faults: Iterator[Fault | type[TransactionError] | None] = iter(faults)
        self._late: list[Transaction] = []

    def begin(self) -> Transaction:
        return cast("Transaction", _FaultyTransaction(self, self.engine.begin()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def next_fault(self) -> Fault | type[TransactionError] | None:
        fault = next(self._faults, None)
        if fault is not None:
            self.told[fault.name if isinstance(fault, Fault) else fault.code] += 1
        return fault

    def later(self, transaction: Transaction) -> None:
        """Commit this when the next commit arrives."""
        self._late.append(transaction)

    def deliver(self) -> None:
        """Commit what is late. Whether it succeeds is nobody's business."""
        late, self._late = self._late, []
        for transaction in late:
            try:
                run_blocking(_commit(transaction))
            except TransactionError:
                pass
            transaction.close()


async def _commit(transaction: Transaction) -> None:
    await transaction.commit()


_WRITES = frozenset({"atomic", "clear", "clear_range", "set", "write_many"})
_KEPT = frozenset({TransactionOption.TIMEOUT, TransactionOption.RETRY_LIMIT, TransactionOption.MAX_RETRY_DELAY})


class _FaultyTransaction:
    def __init__(self, engine: Faulty, transaction: Transaction) -> None:
        self._engine = engine
        self._transaction = transaction
        self._writes = False
        self._kept: dict[TransactionOption, OptionValue] = {}

    def __getattr__(self, name: str) -> Any:
        if name in _WRITES:
            self._writes = True
        return getattr(self._transaction, name)

    def set_option(self, option: TransactionOption, value: OptionValue = None) -> None:
        self._transaction.set_option(option, value)
        if option in _KEPT:
            self._kept[option] = value

    def commit(self) -> Waitable[None]:
        writes, self._writes = self._writes, False
        if not writes:
            return self._transaction.commit()
        self._engine.deliver()
        fault = self._engine.next_fault()
        if fault is None:
            return self._transaction.commit()
        if not isinstance(fault, Fault):
            return Failed(fault())
        if fault is Fault.LATE:
            self._engine.later(self._transaction)
            self._transaction = self._engine.engine.begin()
            for option, value in self._kept.items():
                self._transaction.set_option(option, value)
        elif fault is Fault.APPLIED:
            try:
                run_blocking(_commit(self._transaction))
            except TransactionError as error:
                return Failed(error)
        return Failed(MaybeCommitted())

    def on_error(self, error: BaseException) -> Waitable[None]:
        self._writes = False
        return self._transaction.on_error(error)

    def reset(self) -> None:
        self._writes = False
        self._transaction.reset()
