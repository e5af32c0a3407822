# Generated from recordlayer/client/aio/replica.py by tests/house/generate_blocking.py: do not edit.
"""A replica of a zone on this machine: it is read, queried and changed at once, with the server there or not.

    with aio.open("file:replica.rl") as local:
        replica = Replica.open(client.zone("orders"), local, [Order], indexes={Order: ["customer"]})
        replica.save(Order(id=1, customer="ana"), name="o1")     # here; the server is told by `sync`
        for found in replica.query(Order, q.customer == "ana"): ...
        for synced in replica.follow(): ...                      # in a task of its own: as changes come

What is changed here is kept in the local database until the server has it, whatever happens to either process. It is
sent with the change tag of what it was made from and an idempotency key, so nothing of others is overwritten and
nothing applied twice. Where others have changed the same record, both are merged field by field
(`recordlayer.client.merging`), and `resolve` is asked about what cannot be.

The local database may be in memory; then a replica begins anew with each process, and edits live as long as it. Several
replicas may be in one database.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from recordlayer.blocking import Database
from recordlayer.client.blocking.local_copy import LocalCopy
from recordlayer.client.blocking.zone import Changes, Zone
from recordlayer.client.edits import Delete, Loaded, Save
from recordlayer.client.merging import Conflict, Resolve, keep_mine
from recordlayer.client.pb import types_pb2
from recordlayer.client.pb.replica_pb2 import Edit
from recordlayer.client.replica.rebasing import Rebasing, Version
from recordlayer.client.replica.shape import Indexes, Shape, shape_of
from recordlayer.errors import CallRefused, Forbidden, RecordLayerError, UsageError
from recordlayer.query.predicate import Predicate
from recordlayer.store.open import Path

M = TypeVar("M", bound=Message)

_MOST, _BYTES = 100, 1 << 20
"""Edits that are sent together."""
_ROUNDS = 10
"""Edits that others overtake again and again are left to the next `sync`."""
_LONGEST = 30.0  # seconds

_ANEW = ("TOKEN_EXPIRED", "TOKEN_MISMATCH")


@dataclass(slots=True)
class Synced:
    """What one `sync` did.

    pulled     records that the server told of, deletions among them
    pushed     edits that the server has taken
    conflicts  the names of records, and what was asked about
    refused    the names of records whose edits the server will not have; `waiting` says why
    anew       everything was told again: the zone was made anew, or what was deleted meanwhile is not known any more
    missing    there is no such zone; edits are kept until there is
    """

    pulled: int = 0
    pushed: int = 0
    conflicts: list[tuple[str, Conflict]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    anew: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """An edit that the server does not have.

    message  what the record shall be; None: it shall be gone
    sent     it was sent, and may have been applied: it cannot be taken back
    refused  why the server will not have it; "" if it was not asked yet
    """

    name: str
    message: Message | None
    sent: bool
    refused: str


class Replica:
    """A replica of one zone. `open` makes one."""

    def __init__(self, zone: Zone, local: LocalCopy, shape: Shape) -> None:
        self._zone = zone
        self._local = local
        self._shape = shape
        self._lock = zone.client.transport.lock()

    @classmethod
    def open(
        cls,
        zone: Zone,
        database: Database,
        kinds: Sequence[type[Message]],
        *,
        indexes: Indexes | None = None,
        resolve: Resolve = keep_mine,
        whole: Collection[str] = (),
        path: Path | None = None,
    ) -> Self:
        """The replica of a zone, as it was left. Asks the server nothing.

        database  where it is kept; it stays the caller's, who closes it
        kinds     the types of records that it holds; others of the zone are passed over
        indexes   fields or key expressions, by type: for local queries
        resolve   is asked about conflicts, with the merge of a record under way, perhaps several times about one; it
                  must not wait for anything
        whole     full names of message types that are not merged by their fields
        path      of the local stores; by default one that the container, the database and the zone give

        Raises  UsageError, and what metadata refuse of the indexes
        """
        shape = shape_of(kinds, indexes or {})
        context = zone.client.context
        owner = (int(context.environment), int(context.database.scope), context.database.user)
        own = ("recordlayer-replica", context.container, *owner, zone.name) if path is None else path
        local = LocalCopy(database, own, shape, lambda: Rebasing(shape, resolve, whole))
        local.begin()
        return cls(zone, local, shape)

    # -- what is here ----------------------------------------------------------------------------------------------

    def load(self, kind: type[M], name: str) -> Loaded[M] | None:
        """The record with this name as it is here, None if there is none. Its change tag is empty if it was made here
        and the server does not have it.

        Raises  UsageError for one of another type
        """
        held = self._local.load(name)
        return None if held is None else self._loaded(kind, held)

    def query(
        self,
        kind: type[M],
        where: Predicate | None = None,
        *,
        sort: Sequence[str] = (),
        page: int = 200,
        sort_in_memory: int = 10_000,
    ) -> Iterator[Loaded[M]]:
        """The records of a type that fulfil a condition, as they are here; without an index all are looked at.

        sort            fields; "-field" for all of them: descending
        page            records that are read in one transaction
        sort_in_memory  so many are sorted where no index has the order

        Raises  UnknownField, WrongType, NoPlan
        """
        asked = self._shape.query(kind.DESCRIPTOR.name, where, sort, sort_in_memory=sort_in_memory)
        for held in self._local.query(asked, page):
            yield self._loaded(kind, held)

    def _loaded(self, kind: type[M], held: Any) -> Loaded[M]:
        if held.DESCRIPTOR.name != kind.DESCRIPTOR.name:
            raise UsageError(record=held.name, type=held.DESCRIPTOR.name, hint=f"it is no {kind.DESCRIPTOR.name}")
        message = kind.FromString(held.record.SerializePartialToString())
        return Loaded(name=held.name, message=message, change_tag=held.change_tag)

    # -- what is changed here --------------------------------------------------------------------------------------

    def save(self, message: Message, name: str = "") -> str:
        """Put a record there, in place of what is here; its name, which is made up if none is given. The server is told
        by `sync`.

        Raises  UsageError for a type that the replica does not hold
        """
        name = name or uuid.uuid4().hex
        record_type = message.DESCRIPTOR.name
        self._shape.kind(record_type)
        self._local.edit(name, Version(record_type, message.SerializePartialToString(deterministic=True), b""))
        return name

    def delete(self, name: str) -> None:
        """Take a record away, if there is one. The server is told by `sync`."""
        self._local.edit(name, None)

    def waiting(self) -> list[Waiting]:
        """The edits that the server does not have, in the order in which they were made."""
        return [self._waiting(edit) for edit in self._local.edits()]

    def _waiting(self, edit: Edit) -> Waiting:
        message = self._shape.kind(edit.record_type).FromString(edit.mine) if edit.HasField("mine") else None
        return Waiting(edit.name, message, edit.sent, edit.refused)

    def revert(self, name: str) -> bool:
        """Take the edit of a record back: it is here as the server has it. Whether there was an edit that could be:
        what was sent and not answered cannot."""
        return self._local.revert(name)

    # -- the server ------------------------------------------------------------------------------------------------

    def sync(self) -> Synced:
        """Tell the server what was changed here, and take over what has changed there, until both are the same.

        Raises  NoAnswer, Unauthenticated, Forbidden; CallRefused, which says whether it is `passing`. What was done
                until then is done, and the next call goes on; no edit is lost.
        """
        with self._lock:
            synced = Synced()
            self._push(synced, sent=True)  # what became of these has to be known before others' changes are taken
            synced.missing = False
            self._pull(synced)
            for _ in range(_ROUNDS):
                if synced.missing or not self._push(synced, sent=False):
                    break
            return synced

    def follow(self) -> Iterator[Synced]:
        """Sync, and again whenever something has changed on the server, or the connection is back, without end; what
        each time did.

        Raises  Unauthenticated, Forbidden, CallRefused that is not `passing`
        """
        pause = 1.0
        while True:
            try:
                synced = self.sync()
                yield synced
                pause = 1.0
                if not synced.missing:
                    for word in self._zone.watch((self._local.state()).token):
                        if word != "current" or self._local.edits():
                            yield self.sync()
            except CallRefused as error:
                if not error.passing and error.reason not in ("ZONE_NOT_FOUND", *_ANEW):
                    raise
            self._zone.client.transport.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, _LONGEST)

    def _pull(self, synced: Synced) -> None:
        kinds = list(self._shape.kinds.values())
        while True:
            token = (self._local.state()).token
            try:
                page = self._zone.changes(token, kinds=kinds)
            except CallRefused as error:
                if error.reason == "ZONE_NOT_FOUND":
                    self._local.begin_anew(missing=True)
                    synced.missing, synced.conflicts = True, synced.conflicts + self._local.sweep()
                    return
                if error.reason not in _ANEW or not token:
                    raise
                self._local.begin_anew()
                synced.anew = True
                continue
            told = self._versions(page)
            synced.pulled += len(told)
            synced.conflicts += self._local.take(token, told, page.token)
            if not page.more_coming:
                synced.conflicts += self._local.sweep()
                return

    def _versions(self, page: Changes) -> list[tuple[str, Version | None]]:
        return [(record.name.name, self._version(record)) for record in page.records]

    def _version(self, record: types_pb2.Record) -> Version | None:
        whole = None if record.deleted else self._zone.whole(record)
        return None if whole is None else Version(whole.record_type, whole.message, whole.change_tag)

    def _push(self, synced: Synced, *, sent: bool) -> bool:
        """Send what is to be sent. Whether something was."""
        any_sent = False
        while edits := self._local.next_edits(sent=sent, most=_MOST, size=_BYTES):
            any_sent = True
            self._send(synced, edits)
        return any_sent

    def _send(self, synced: Synced, edits: Sequence[Edit]) -> None:
        """Send some edits, each by itself if they are refused together: one that is bad holds up no other."""
        outcomes: Sequence[Loaded[Any] | RecordLayerError | None]
        try:
            outcomes = self._zone.modify([self._change(edit) for edit in edits], atomic=False)
        except (CallRefused, Forbidden) as error:
            if _in_doubt(error):
                raise
            if len(edits) > 1 and not isinstance(error, Forbidden):
                for edit in edits:
                    self._send(synced, [edit])
                return
            outcomes = [error] * len(edits)
        self._settle(synced, list(zip(edits, outcomes, strict=True)))

    def _change(self, edit: Edit) -> Save | Delete:
        if not edit.HasField("mine"):
            return Delete(edit.name, change_tag=edit.base_tag, key=edit.key)
        message = self._shape.kind(edit.record_type).FromString(edit.mine)
        if not edit.HasField("base"):
            return Save(message, edit.name, create=True, key=edit.key)
        return Save(message, edit.name, change_tag=edit.base_tag, key=edit.key)

    def _settle(self, synced: Synced, outcomes: Sequence[tuple[Edit, Loaded[Any] | RecordLayerError | None]]) -> None:
        overtaken = [edit.name for edit, outcome in outcomes if _reason(outcome) in _OVERTAKEN]
        there = self._zone.records(overtaken) if overtaken else {}
        passing: CallRefused | None = None
        for edit, outcome in outcomes:
            reason = _reason(outcome)
            if reason in _OVERTAKEN:
                synced.conflicts += self._overtaken(synced, edit, there)
            elif isinstance(outcome, CallRefused) and _in_doubt(outcome):
                passing = outcome
            elif reason == "ZONE_NOT_FOUND":
                synced.missing = True
                synced.conflicts += self._local.outdated(edit, None)
            elif isinstance(outcome, RecordLayerError):
                synced.refused.append(edit.name)
                self._local.refused(edit, f"{reason}: {outcome.fields.get('message', outcome)}")
            else:
                synced.pushed += 1
                self._local.saved(edit, b"" if outcome is None else outcome.change_tag)
        if passing is not None:
            raise passing

    def _overtaken(
        self, synced: Synced, edit: Edit, there: Mapping[str, types_pb2.Record]
    ) -> list[tuple[str, Conflict]]:
        record = there.get(edit.name)
        theirs = None if record is None else self._version(record)
        if theirs is not None and theirs.record_type not in self._shape.kinds:
            synced.refused.append(edit.name)
            self._local.refused(edit, f"EXISTS: there is a record of the type {theirs.record_type}")
            return []
        return self._local.outdated(edit, theirs)


_OVERTAKEN = ("CONFLICT", "EXISTS", "NOT_FOUND")
"""Others have changed, made or deleted the record."""


_OPEN = ("COMMIT_UNKNOWN", "DEADLINE", "CANCELLED")


def _in_doubt(error: RecordLayerError) -> bool:
    """Whether what was sent may have been applied, or will be taken later: it is to be sent again, as it is."""
    return isinstance(error, CallRefused) and (error.passing or error.reason in _OPEN)


def _reason(outcome: Loaded[Any] | RecordLayerError | None) -> str:
    if isinstance(outcome, CallRefused):
        return outcome.reason
    if isinstance(outcome, RecordLayerError):
        return str(outcome.fields.get("reason", "") or outcome.code)
    return ""
