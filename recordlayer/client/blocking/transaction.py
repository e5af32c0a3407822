# Generated from recordlayer/client/aio/transaction.py by tests/house/generate_blocking.py: do not edit.
"""Interactive transactions on the server: reads and writes of several steps, committed together or not at all.

    def pay(tx):
        orders = tx.zone("orders")
        order = orders.load(Order, "o1")
        order.message.paid = True
        orders.save(order.message, name="o1")

    client.run(pay)                       # tried again when others have changed what it read

    with client.transaction() as tx: ...  # once; it commits at the end of the block

The time runs while the program thinks: GetServerInfo says how long a transaction may take, a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from google.protobuf import empty_pb2

from recordlayer.client.blocking.records import Records
from recordlayer.client.edits import Edit, Loaded, want_outcomes
from recordlayer.client.pb import records_pb2, transactions_pb2, types_pb2
from recordlayer.client.refusals import no_answer, refusal_of, status_of
from recordlayer.errors import CallRefused, Closed, RecordLayerError, UsageError

if TYPE_CHECKING:
    from recordlayer.client.blocking.client import Client

T = TypeVar("T")
Request = transactions_pb2.TransactRequest


class Transaction:
    """One transaction on one database, as a context: it commits when the block ends without an error, and is undone
    otherwise.

    change_tags  behind the commit, the change tags of the records that it saved, by zone and name; those that its steps
                 gave are good in it only
    replayed     the idempotency key had been committed before: nothing of the block will be run
    """

    def __init__(self, client: Client, *, read_only: bool, key: str) -> None:
        self.change_tags: dict[tuple[str, str], bytes] = {}
        self.replayed = False
        self.read_only = read_only
        self._client = client
        self._begin = Request.Begin(context=client.context, read_only=read_only, idempotency_key=key)
        self._talk: Any = None
        self._sequence = 0

    def zone(self, name: str = "") -> TransactionZone:
        """A zone as the transaction sees it."""
        return TransactionZone(self, types_pb2.ZoneName(name=name))

    def commit(self) -> None:
        """Commit before the block ends; no steps come behind it.

        Raises  CallRefused, with the reason CONTENTION when others have changed what was read: begin again; NoAnswer
                and the reason COMMIT_UNKNOWN leave it open, unless there is a key
        """
        reply = self.step(commit=empty_pb2.Empty())
        for record in reply.committed.records:
            if not record.deleted:
                self.change_tags[record.name.zone.name, record.name.name] = record.change_tag
        self._end()

    def rollback(self) -> None:
        """Undo everything; no steps come behind it."""
        if self._talk is not None:
            self._talk.cancel()
            self._talk = None

    def step(self, **said: Any) -> transactions_pb2.TransactReply:
        """The answer to one step.  Raises  what the service says of it; a step that was refused has done nothing, and
        where the transaction has ended by it all others raise Closed."""
        if self._talk is None:
            raise Closed(what="a transaction that has ended, or has not begun")
        self._sequence += 1
        try:
            self._talk.send(Request(sequence=self._sequence, **said))
            reply = self._talk.receive()
            while reply is not None and reply.WhichOneof("kind") == "warning":
                reply = self._talk.receive()
        except grpc.RpcError as error:
            self.rollback()
            status = status_of(error)
            raise no_answer(error) if status is None else refusal_of(status) from error
        if reply is None:
            self.rollback()
            raise Closed(what="a transaction that the server has ended")
        if reply.WhichOneof("kind") == "refused":
            raise refusal_of(reply.refused)
        return reply  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        client = self._client
        seconds = client.attempts().left()
        self._talk = client.transport.converse(
            client.transactions.Transact, metadata=client.metadata(), timeout=seconds
        )
        reply = self.step(begin=self._begin)
        if reply.WhichOneof("kind") == "committed":
            self.replayed = True
            self._end()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._talk is None:
            return
        if error is None:
            self.commit()
        else:
            self.rollback()

    def _end(self) -> None:
        talk, self._talk = self._talk, None
        talk.end()
        talk.cancel()


class TransactionZone(Records):
    """Records of one zone, as a transaction sees them: with what it has written itself."""

    def __init__(self, transaction: Transaction, name: types_pb2.ZoneName) -> None:
        self._transaction = transaction
        self._name = name

    def modify(self, edits: Sequence[Edit]) -> list[Loaded[Any] | None]:
        """What became of each edit: the record as saved, None if it was deleted. Change tags are good in this
        transaction only. An edit that is refused ends the transaction.

        Raises  ChangeTagStale, RecordExists, UniquenessViolation, CallRefused, NoAnswer
        """
        if self._transaction.read_only:
            raise UsageError(what="a change in a transaction that only reads")
        said = Request.Modify()
        said.operations.extend(edit.operation(self._name) for edit in edits)
        want_outcomes(said, edits)
        reply = self._transaction.step(modify=said)
        return [self._outcome(edit, result.record) for edit, result in zip(edits, reply.modify.results, strict=True)]

    def _look_up(self, request: records_pb2.LookupRequest) -> records_pb2.LookupReply:
        return (self._transaction.step(lookup=request)).lookup

    def _page(self, request: records_pb2.QueryRequest) -> records_pb2.QueryReply:
        return (self._transaction.step(query=request)).query

    def whole(self, record: types_pb2.Record) -> types_pb2.Record | None:
        return record  # one that fits into no reply is refused there


def run_until_committed(client: Client, function: Callable[[Transaction], T], *, read_only: bool, key: str) -> T:
    """The result of `function(transaction)`, committed.  Raises  as `Client.run`"""
    attempts = client.attempts()
    results: list[T] = []
    while True:
        tx = Transaction(client, read_only=read_only, key="" if read_only else key)
        try:
            with tx:
                if tx.replayed:
                    return results[-1]
                results.append(function(tx))
            return results[-1]
        except CallRefused as error:
            delay = _delay(error)
            if delay is None or not attempts.may_wait(delay):
                raise
            client.transport.sleep(delay)


_PAUSE = 0.05


def _delay(error: RecordLayerError) -> float | None:
    """Seconds until the transaction may be begun again; None: that is no use."""
    if isinstance(error, CallRefused) and (error.passing or error.reason == "COMMIT_UNKNOWN"):
        told = error.fields.get("retry_after", _PAUSE)
        return float(told) if isinstance(told, int | float) else _PAUSE
    return None
