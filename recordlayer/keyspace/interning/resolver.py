"""Who keeps which name is which number, in one scope.

A scope is the whole database, or a path below which its names are kept: names of different scopes know nothing of each
other. Three layouts are Java's, and both sides may use them at once:

    ExtendedDirectoryLayer   where FoundationDB's directory layer keeps its directories; the default
    ScopedDirectoryLayer     that directory layer itself: a name is a directory
    ScopedInterningLayer     a layout of its own

Names are interned in the transaction that needs them: they are there when it has committed, and not otherwise.

Source  Record Layer: LocatableResolver, ResolverCreateHooks; createInTransaction there, not `resolve`, which commits
        names in transactions of their own
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from recordlayer.errors import (
    CorruptName,
    MalformedTuple,
    NameNotInterned,
    NamesDiffer,
    ResolverLocked,
    UsageError,
    WrongType,
)
from recordlayer.keyspace.interning.cache import Known, Name, NameCache
from recordlayer.kv.context import Context
from recordlayer.kv.engine import StreamingMode
from recordlayer.pb.parsing import PARSE_ERRORS
from recordlayer.pb.resolver_state_pb2 import RETIRED, UNLOCKED, WRITE_LOCKED, State, WriteLock
from recordlayer.tuples import Subspace, unpack

if TYPE_CHECKING:
    from recordlayer.keyspace.path import KeySpacePath

Check = Callable[[Context, "NameResolver", str], Awaitable[bool]]

_STATE = -10
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ResolverState:
    """Whether names may be interned, and the version that caches compare."""

    lock: str = "UNLOCKED"
    version: int = 0


class NameResolver:
    """Names and their numbers in one scope. Holds nothing itself; equal where layout, scope and hooks are.

    scope   a path, or the bytes that the scope's keys begin with; nothing for the whole database
    about   gives the bytes to keep with a new name
    checks  asked before a name is interned; one that says no refuses it
    """

    layout: ClassVar[str] = ""

    __slots__ = ("_about", "_checks", "_scope")

    def __init__(
        self,
        scope: KeySpacePath | bytes = b"",
        *,
        about: Callable[[str], bytes | None] | None = None,
        checks: Sequence[Check] = (),
    ) -> None:
        if isinstance(scope, str):
            raise WrongType(scope=scope, hint="a scope is a path of a key space, or bytes")
        self._scope = scope
        self._about = about
        self._checks = tuple(checks)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._scope, self._about, self._checks) == (other._scope, other._about, other._checks)

    def __hash__(self) -> int:
        return hash((type(self), self._scope))

    # -- names

    async def resolve(self, context: Context, text: str, *, about: bytes | None = None) -> Name:
        """What a name is interned as; interned now if it was not.

        about  kept with a name that is new; None for what the resolver itself gives it

        Cost    nothing if it is cached; else 1 read, and about 5 reads and 4 writes for a new name
        Raises  ResolverLocked, NamesCollide; WrongType, UsageError for what is no name.
        """
        place = await self._place(context)
        found = await self._find(context, place, text)
        if found is not None:
            return found
        if type(text) is not str:
            raise WrongType(name=text, hint="a name is a text")
        if not text or "\x00" in text:
            raise UsageError(name=text, hint="a name has one character at least and no zero bytes")
        turns, key = context.turns, place.mapping.pack((text,))
        if not turns.take(key):
            await turns.wait(key)
        try:
            found = await self._find(context, place, text)
            return await self._intern(context, place, text, about) if found is None else found
        finally:
            turns.leave(key)

    async def find(self, context: Context, text: str) -> Name | None:
        """What a name is interned as, None if it is not. Writes nothing.  Cost  1 read if it is not cached."""
        return await self._find(context, await self._place(context), text)

    async def name_of(self, context: Context, number: int) -> str:
        """The name that is interned as this number.

        Cost  1 read if it is not cached.  Raises  NameNotInterned.
        """
        place = await self._place(context)
        known = await self._fresh(context, place)
        text = None if known is None else known.numbers.get(number)
        if text is None:
            text = await self.read_reverse(context, place, number)
        if text is None:
            raise NameNotInterned(number=number, scope=place.scope, hint="is it a number of another scope?")
        return text

    async def names(
        self, context: Context, *, after: str | None = None, limit: int = 1000, snapshot: bool = False
    ) -> list[tuple[str, Name]]:
        """Up to `limit` names behind `after`, in order.  Cost  1 range read."""
        mapping = (await self._place(context)).mapping
        begin, end = mapping.range()
        if after is not None:
            begin = mapping.pack((after,)) + b"\x00"
        chunk = await context.get_range(begin, end, limit=limit, snapshot=snapshot, mode=StreamingMode.EXACT)
        return [(mapping.unpack(key)[0], self.decode(value)) for key, value in chunk.rows]

    async def put(self, context: Context, text: str, name: Name) -> None:
        """Intern a name as a number chosen elsewhere, as when a scope is copied.

        Raises  NamesDiffer if either means something else here.
        """
        if not 0 <= name.number <= _LARGEST:
            raise UsageError(number=name.number, hint="numbers are not negative, and fit in 8 bytes")
        place = await self._place(context)
        stored = await context.get(place.mapping.pack((text,)))
        there = None if stored is None else self.decode(stored)
        who = await self.read_reverse(context, place, name.number)
        if (there is not None and there != name) or (who is not None and who != text):
            raise NamesDiffer(name=text, number=name.number, stored=there, number_means=who)
        if there is None and who is None:
            await self.force(context, place, text, name)

    async def forget(self, context: Context, text: str) -> bool:
        """Take a name away; whether it was there. Its number is never given to another: processes that still know the
        name, for half a minute at most, write where nobody else does.

        Cost  2 reads, 2 writes.
        """
        place = await self._place(context)
        key = place.mapping.pack((text,))
        if await context.get(key) is None:
            return False
        context.clear(key)
        await self.raise_version(context)
        return True

    async def scope_prefix(self, context: Context) -> bytes:
        """What the keys of the scope begin with; nothing for the whole database."""
        return (await self._place(context)).scope

    async def replace_about(self, context: Context, text: str, about: bytes | None) -> None:
        """Keep other bytes with a name.  Raises  UsageError: only `ScopedInterningLayer` can."""
        raise UsageError(name=text, layout=self.layout, hint="a ScopedInterningLayer can change what it keeps")

    async def _intern(self, context: Context, place: Place, text: str, about: bytes | None) -> Name:
        for check in self._checks:
            if not await check(context, self, text):
                raise ResolverLocked(name=text, scope=place.scope, hint="a check of the resolver refuses new names")
        state = await self._state(context, place)
        if state.lock != "UNLOCKED":
            raise ResolverLocked(
                name=text, scope=place.scope, lock=state.lock, hint="names are not interned here at present"
            )
        if about is None and self._about is not None:
            about = self._about(text)
        name = await self.create(context, place, text, about)
        shared = context.shared
        if shared is not None:
            known = shared.of(NameCache).of(self.layout, place.scope)
            known.is_new(text, context.world.clock.monotonic())

            async def learn() -> None:
                known.learn(text, name)

            context.after_commit(learn)
        return name

    async def _find(self, context: Context, place: Place, text: str) -> Name | None:
        known = await self._fresh(context, place)
        if known is not None and text in known.names:
            return known.names[text]
        if type(text) is not str:
            raise WrongType(name=text, hint="a name is a text")
        stored = await context.get(place.mapping.pack((text,)))
        if stored is None:
            return None
        name = self.decode(stored)
        await self.has_read(context, place, text, name)
        if known is not None:
            known.has_read(text, name, context.world.clock.monotonic())
        return name

    async def _fresh(self, context: Context, place: Place) -> Known | None:
        """What is cached of this scope."""
        if context.shared is None:
            return None
        known = context.shared.of(NameCache).of(self.layout, place.scope)

        async def version() -> int:
            return (await self._state(context, place, snapshot=True)).version

        await known.refresh(context.world.clock.monotonic(), version)
        return known

    # -- state

    async def state(self, context: Context) -> ResolverState:
        """Whether names may be interned, and the version.  Cost  1 read."""
        return await self._state(context, await self._place(context))

    async def lock(self, context: Context) -> None:
        """Refuse new names from now on, here and in Java.  Cost  1 read, 1 write."""
        await self._change(context, lock=WRITE_LOCKED)

    async def lock_exclusively(self, context: Context) -> None:
        """The same; fails if it is locked already.  Raises  ResolverLocked."""
        state = await self.state(context)
        if state.lock != "UNLOCKED":
            raise ResolverLocked(lock=state.lock, hint="somebody else has locked it")
        await self.lock(context)

    async def unlock(self, context: Context) -> None:
        """Allow new names again.  Cost  1 read, 1 write."""
        await self._change(context, lock=UNLOCKED)

    async def retire(self, context: Context) -> None:
        """Refuse new names for good: its names are kept elsewhere now."""
        await self._change(context, lock=RETIRED)

    async def raise_version(self, context: Context) -> None:
        """Have every process forget what it has cached: this one now, others within half a minute.

        Cost  1 read, 1 write.
        """
        await self._change(context, versions=1)
        if context.shared is not None:
            known = context.shared.of(NameCache).of(self.layout, (await self._place(context)).scope)

            async def look_again() -> None:
                known.version = None

            context.after_commit(look_again)

    async def _state(self, context: Context, place: Place, *, snapshot: bool = False) -> ResolverState:
        stored = await context.get(place.state, snapshot=snapshot)
        message = self._parse_state(place, stored)
        return ResolverState(_LOCKS[message.lock], message.version)

    async def _change(self, context: Context, *, lock: WriteLock | None = None, versions: int = 0) -> None:
        place = await self._place(context)
        message = self._parse_state(place, await context.get(place.state))
        if lock is not None:
            message.lock = lock
        if versions:
            message.version += versions
        context.set(place.state, message.SerializeToString(deterministic=True))

    @staticmethod
    def _parse_state(place: Place, stored: bytes | None) -> State:
        if stored is None:
            return State(lock=UNLOCKED)
        try:
            return State.FromString(stored)
        except PARSE_ERRORS as error:
            raise CorruptName(key=place.state, value=stored, hint="the state of a resolver is expected") from error

    # -- where

    async def _place(self, context: Context) -> Place:
        scope = self._scope
        return self.place(scope if isinstance(scope, bytes) else (await scope.resolve(context)).prefix)

    # -- what a layout says

    def place(self, scope: bytes) -> Place:
        """Where the names of a scope are."""
        raise NotImplementedError

    def decode(self, stored: bytes) -> Name:
        """A mapping's value.  Raises  CorruptName."""
        raise NotImplementedError

    async def create(self, context: Context, place: Place, text: str, about: bytes | None) -> Name:
        """Give a new name a number, and write both ways."""
        raise NotImplementedError

    async def force(self, context: Context, place: Place, text: str, name: Name) -> None:
        """Write a name with a number that is free."""
        raise NotImplementedError

    async def read_reverse(self, context: Context, place: Place, number: int) -> str | None:
        """The name that a number stands for, None if there is none."""
        raise NotImplementedError

    async def has_read(self, context: Context, place: Place, text: str, name: Name) -> None:
        """Called when a name was read from the database."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one scope keeps what: name -> number, the allocator's two parts, the state."""

    scope: bytes
    mapping: Subspace
    counters: Subspace
    allocations: Subspace
    state: bytes


def text_in(stored: bytes) -> str:
    """The name in a value that is a packed name.  Raises  CorruptName."""
    try:
        items = unpack(stored)
    except MalformedTuple as error:
        raise CorruptName(value=stored, hint="a packed name is expected") from error
    if len(items) != 1 or type(items[0]) is not str:
        raise CorruptName(value=stored, hint="a packed name is expected")
    return items[0]


_LOCKS: dict[int, str] = {UNLOCKED: "UNLOCKED", WRITE_LOCKED: "WRITE_LOCKED", RETIRED: "RETIRED"}
STATE_ITEM: tuple[Any, ...] = (_STATE,)
