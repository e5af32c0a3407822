"""The stores of a replica on this machine, in transactions: what the program sees, and what the server is yet to have.

Whatever one of these calls does is in the local database when it comes back, all of it or nothing. Edits are never
taken away but by the server's answer, or by the program.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from recordlayer.aio import Database, RecordStore, Transaction
from recordlayer.client.merging import Conflict
from recordlayer.client.pb.replica_pb2 import Edit, State
from recordlayer.client.replica.rebasing import Rebasing, Version, base_of, mine_of, set_base, set_mine
from recordlayer.client.replica.shape import EDIT_KEYS, EDITS, STATE_KEY, Shape, edit_key
from recordlayer.query.paths import q
from recordlayer.query.query import RecordQuery, query
from recordlayer.store.open import Path

T = TypeVar("T")

_RECORDS, _EDITS = 500, 20
"""So many are looked at in one transaction: of edits few, since what they hold is written anew."""

Conflicts = list[tuple[str, Conflict]]


@dataclass(slots=True)
class Stores:
    """Both stores in one transaction, and how far the replica is."""

    records: RecordStore
    edits: RecordStore
    state: State

    async def edits_of(self, name: str) -> list[Edit]:
        """In their order: one that was sent, one that was not, or both."""
        found: Any = await self.edits.query(query("Edit").where(q["name"] == name)).all()
        return sorted(found, key=lambda one: one.number)

    async def held(self, name: str) -> Any:
        return await self.records.load(name)

    async def keep_state(self) -> None:
        await self.edits.save(self.state)


class LocalCopy:
    """The stores of one zone.

    rebasing  makes what resolves conflicts, anew for each attempt of a transaction
    """

    def __init__(self, database: Database, path: Path, shape: Shape, rebasing: Callable[[], Rebasing]) -> None:
        self._database = database
        self._path: tuple[Any, ...] = tuple(path)  # type: ignore[arg-type]
        self.shape = shape
        self._rebasing = rebasing

    # -- transactions ----------------------------------------------------------------------------------------------

    async def _run(self, work: Callable[[Stores], Awaitable[T]]) -> T:
        async def run(tx: Transaction) -> T:
            return await work(await self._stores(tx))

        return await self._database.run(run)

    async def _stores(self, tx: Transaction) -> Stores:
        edits = await tx.store(EDITS, path=(*self._path, "edits"))
        state: Any = await edits.load(STATE_KEY)
        records = await tx.store(self.shape.metadata, path=(*self._path, "records", self.shape.fingerprint))
        return Stores(records, edits, State(id=1, epoch=1) if state is None else state)

    async def begin(self) -> None:
        """Make the stores fit the shape: if that has changed, all records are to be told again, and those that were
        edited here are there already."""
        before = (await self.state()).shape
        if before == self.shape.fingerprint:
            return
        await self._each_edit(self._show)

        async def begin(tx: Transaction) -> None:
            stores = await self._stores(tx)
            if before:
                await tx.delete_store(path=(*self._path, "records", before))
                _anew(stores.state)
            stores.state.shape = self.shape.fingerprint
            await stores.keep_state()

        await self._database.run(begin)

    async def _each_edit(self, work: Callable[[Stores, Edit], Awaitable[object]]) -> None:
        """Do something about each edit, in their order, some in a transaction."""
        resume: bytes | None = b""
        while resume is not None:
            resume = await self._run(partial(self._some_edits, work, resume or None))

    async def _some_edits(
        self, work: Callable[[Stores, Edit], Awaitable[object]], resume: bytes | None, stores: Stores
    ) -> bytes | None:
        page = stores.edits.scan(EDIT_KEYS, limit=_EDITS, resume=resume)
        found: list[Any] = await page.all()
        for edit in found:
            await work(stores, edit)
        return page.continuation

    # -- what the program sees -------------------------------------------------------------------------------------

    async def load(self, name: str) -> Any:
        """The held record with a name, None if there is none."""
        return await self._run(lambda stores: stores.held(name))

    def query(self, asked: RecordQuery, page: int) -> AsyncIterator[Any]:
        """The held records of a query, in pages of so many."""

        async def open_page(tx: Transaction, resume: bytes | None) -> Any:
            stores = await self._stores(tx)
            return stores.records.query(asked, limit=page, resume=resume)

        return self._database.stream(open_page)

    async def edit(self, name: str, mine: Version | None) -> None:
        """Let a record be `mine`, or gone, until the server has it so."""

        async def edit(stores: Stores) -> None:
            edits = await stores.edits_of(name)
            if edits and not edits[-1].sent:
                made = edits[-1]
            else:
                stores.state.last_edit += 1
                await stores.keep_state()
                made = Edit(number=stores.state.last_edit, name=name, epoch=stores.state.epoch)
                held = await stores.held(name)
                set_base(made, mine_of(edits[-1]) if edits else _version(held))
            set_mine(made, mine)
            made.refused = ""
            if len(edits) < 2 and self._rebasing().same(base_of(made), mine):
                await self._undo(stores, made)
            else:
                await stores.edits.save(made)
                await self._show(stores, made)

        await self._run(edit)

    async def revert(self, name: str) -> bool:
        """Take an edit back that the server does not have. Whether there was one."""

        async def revert(stores: Stores) -> bool:
            edits = await stores.edits_of(name)
            if not edits or edits[-1].sent:
                return False
            await self._undo(stores, edits[-1])
            return True

        return await self._run(revert)

    async def _undo(self, stores: Stores, edit: Edit) -> None:
        await stores.edits.delete(edit_key(edit.number))
        before = await stores.edits_of(edit.name)
        await self._put(stores, edit.name, base_of(edit), epoch=edit.epoch, edited=bool(before))

    async def edits(self) -> list[Edit]:
        """All that the server does not have, in the order in which they were made."""

        async def edits(stores: Stores) -> list[Any]:
            return list(await stores.edits.scan(EDIT_KEYS).all())

        return await self._run(edits)

    async def _show(self, stores: Stores, edit: Edit) -> None:
        """Let the program see an edit."""
        await self._put(stores, edit.name, mine_of(edit), epoch=edit.epoch, edited=True)

    async def _put(self, stores: Stores, name: str, version: Version | None, *, epoch: int, edited: bool) -> None:
        if version is None:
            await stores.records.delete(name)
            return
        about = {"name": name, "change_tag": version.change_tag, "epoch": epoch, "edited": edited}
        await stores.records.save(self.shape.held(version.record_type, version.contents, **about))

    # -- what the server is told -----------------------------------------------------------------------------------

    async def next_edits(self, *, sent: bool, most: int, size: int) -> list[Edit]:
        """Edits to send, in their order, one of each record at most; from now on they are sent, each under its key.

        sent  those only that were sent before and not answered
        size  bytes of their contents, about
        """

        async def next_edits(stores: Stores) -> list[Edit]:
            chosen: dict[str, Edit] = {}
            room = size
            edit: Any
            async for edit in stores.edits.scan(EDIT_KEYS):
                if edit.refused or edit.name in chosen or (sent and not edit.sent):
                    continue
                room -= len(edit.mine)
                if len(chosen) == most or (room < 0 and chosen):
                    break
                chosen[edit.name] = edit
            for edit in chosen.values():
                if not edit.sent:
                    edit.sent, edit.key = True, uuid.uuid4().hex
                    await stores.edits.save(edit)
            return list(chosen.values())

        return await self._run(next_edits)

    async def saved(self, edit: Edit, tag: bytes) -> None:
        """The server has taken an edit; `tag` is the record's change tag, empty if it was deleted."""

        async def saved(stores: Stores) -> None:
            if not await stores.edits.delete(edit_key(edit.number)):
                return  # another replica over the same store was told first
            now = mine_of(edit)
            now = None if now is None else now._replace(change_tag=tag)
            later = await stores.edits_of(edit.name)
            for one in later:
                set_base(one, now)
                one.epoch = stores.state.epoch
                await stores.edits.save(one)
                await self._show(stores, one)
            if not later:
                await self._put(stores, edit.name, now, epoch=stores.state.epoch, edited=False)

        await self._run(saved)

    async def refused(self, edit: Edit, reason: str) -> None:
        """The server will not have an edit. If the record was edited again meanwhile, that is what counts."""

        async def refused(stores: Stores) -> None:
            current = await self._current(stores, edit)
            if current is None:
                return
            if current.number == edit.number:
                current.refused = reason
            await stores.edits.save(current)

        await self._run(refused)

    async def outdated(self, edit: Edit, theirs: Version | None) -> Conflicts:
        """The server has another version than the edit is of; the conflicts that were met."""

        async def outdated(stores: Stores) -> Conflicts:
            current = await self._current(stores, edit)
            return [] if current is None else await self._rebase(stores, current, theirs, self._rebasing())

        return await self._run(outdated)

    async def _current(self, stores: Stores, sent: Edit) -> Edit | None:
        """The edit of the record that counts, when one that was sent was not applied: the later one, if there is one.
        None if another replica over the same store was told first."""
        edits = await stores.edits_of(sent.name)
        if sent.number not in {one.number for one in edits}:
            return None
        current = edits[-1]
        if current.number != sent.number:
            await stores.edits.delete(edit_key(sent.number))
            set_base(current, base_of(sent))
        current.sent, current.key = False, ""
        return current

    async def _rebase(self, stores: Stores, edit: Edit, theirs: Version | None, rebasing: Rebasing) -> Conflicts:
        if rebasing.rebase(edit, theirs, stores.state.epoch):
            await stores.edits.save(edit)
            await self._show(stores, edit)
        else:
            await stores.edits.delete(edit_key(edit.number))
            await self._put(stores, edit.name, theirs, epoch=stores.state.epoch, edited=False)
        return rebasing.conflicts

    # -- what the server tells -------------------------------------------------------------------------------------

    async def state(self) -> State:
        async def state(stores: Stores) -> State:
            return stores.state

        return await self._run(state)

    async def take(self, since: bytes, told: Sequence[tuple[str, Version | None]], token: bytes) -> Conflicts:
        """A page of changes behind the token `since`: names, and what the server has there."""

        async def take(stores: Stores) -> Conflicts:
            state = stores.state
            if state.token != since:
                return []  # it was told already
            conflicts: Conflicts = []
            quiet = await stores.edits.scan(EDIT_KEYS, limit=1).first() is None
            await stores.records.preload(name for name, _ in told)
            for name, theirs in told:
                edits = [] if quiet else await stores.edits_of(name)
                if edits:
                    conflicts += await self._rebase(stores, edits[-1], theirs, self._rebasing())
                elif not _is_held(await stores.held(name), theirs, state.epoch):
                    await self._put(stores, name, theirs, epoch=state.epoch, edited=False)
            state.token, state.missing = token, False
            await stores.keep_state()
            return conflicts

        return await self._run(take)

    async def begin_anew(self, *, missing: bool = False) -> None:
        """Everything will be told again. What is held stays to be seen until then; `missing`: there is no such zone."""

        async def begin_anew(stores: Stores) -> None:
            _anew(stores.state)
            stores.state.missing = missing
            await stores.keep_state()

        await self._run(begin_anew)

    async def sweep(self) -> Conflicts:
        """When everything has been told: what was not told again is gone."""
        conflicts: Conflicts = []
        if not (await self.state()).sweep:
            return conflicts
        resume: bytes | None = b""
        while resume is not None:
            resume = await self._run(partial(self._sweep_records, resume or None))

        async def sweep(stores: Stores, edit: Edit) -> None:
            if edit.epoch < stores.state.epoch and edit.HasField("base"):
                conflicts.extend(await self._rebase(stores, edit, None, self._rebasing()))

        await self._each_edit(sweep)

        async def swept(stores: Stores) -> None:
            stores.state.sweep = False
            await stores.keep_state()

        await self._run(swept)
        return conflicts

    async def _sweep_records(self, resume: bytes | None, stores: Stores) -> bytes | None:
        page = stores.records.scan(limit=_RECORDS, resume=resume)
        found: list[Any] = await page.all()
        for held in found:
            if held.epoch < stores.state.epoch and not held.edited:
                await stores.records.delete(held.name)
        return page.continuation


def _anew(state: State) -> None:
    state.token, state.sweep = b"", True
    state.epoch += 1


def _version(held: Any) -> Version | None:
    if held is None:
        return None
    return Version(held.DESCRIPTOR.name, held.record.SerializePartialToString(), held.change_tag)


def _is_held(held: Any, theirs: Version | None, epoch: int) -> bool:
    """Whether what the server tells is here: as what was sent from here is when it comes back."""
    return held is not None and theirs is not None and (held.change_tag, held.epoch) == (theirs.change_tag, epoch)
