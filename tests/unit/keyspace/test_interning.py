"""Names as numbers: once each, both ways, also when many ask at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from recordlayer.errors import (
    Conflict,
    CorruptName,
    NameNotInterned,
    NamesCollide,
    NamesDiffer,
    ResolverLocked,
    UsageError,
    WrongType,
)
from recordlayer.keyspace import (
    ExtendedDirectoryLayer,
    InternedDirectory,
    KeySpace,
    KeySpaceDirectory,
    Name,
    NameResolver,
    ScopedDirectoryLayer,
    ScopedInterningLayer,
)
from recordlayer.keyspace.interning.cache import LOOK_AGAIN_SECONDS, MOST_NAMES, Known
from recordlayer.keyspace.interning.directories import REVERSE_DIRECTORY
from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.kv.shared import Shared
from recordlayer.testing.clock import ManualClock
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.waiting.overlap import gather
from recordlayer.world import World

SCOPE = pack(("scope",))

EVERY = [
    pytest.param(make, id=name)
    for name, make in {
        "directories, global": lambda **hooks: ExtendedDirectoryLayer(**hooks),
        "directories, scoped": lambda **hooks: ExtendedDirectoryLayer(SCOPE, **hooks),
        "directory layer": lambda **hooks: ScopedDirectoryLayer(SCOPE, **hooks),
        "directory layer, global": lambda **hooks: ScopedDirectoryLayer(**hooks),
        "interning, global": lambda **hooks: ScopedInterningLayer(**hooks),
        "interning, scoped": lambda **hooks: ScopedInterningLayer(SCOPE, **hooks),
    }.items()
]
WITH_ABOUT = [EVERY[0], EVERY[1], EVERY[4], EVERY[5]]

Make = Callable[..., NameResolver]


class Place:
    """An engine with a cache for its transactions and a clock moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.world = World(clock=self.clock, random=random.Random(7))
        self.engine: Engine = open_engine("memory:")
        self.shared = Shared()

    def begin(self, *, cached: bool = True) -> Context:
        return Context(self.engine.begin(), world=self.world, shared=self.shared if cached else None)

    def run(self, work: Callable[[Context], Any], *, cached: bool = True) -> Any:
        """The result of a core coroutine in a transaction of its own, committed."""
        context = self.begin(cached=cached)
        try:
            result = run_blocking(work(context))
            run_blocking(context.commit())
            return result
        finally:
            context.close()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.engine.close()


@pytest.mark.parametrize("make", EVERY)
def test_a_name_keeps_its_number_and_leads_back(place: Place, make: Make) -> None:
    resolver = make()
    names = [f"name {number}" for number in range(100)] + ["Zoë", "\U0001f600"]
    numbers = [place.run(lambda context, name=name: resolver.resolve(context, name)).number for name in names]
    assert len(set(numbers)) == len(names)
    for cached in (True, False):
        for name, number in zip(names, numbers, strict=True):
            assert place.run(lambda c, n=name: resolver.resolve(c, n), cached=cached) == (number, None)
            assert place.run(lambda c, n=name: resolver.find(c, n), cached=cached) == (number, None)
            assert place.run(lambda c, n=number: resolver.name_of(c, n), cached=cached) == name
    assert max(numbers) < 64 + 1024, "small numbers make short keys"
    listed = [name for name, _ in place.run(resolver.names)]
    assert [name for name in listed if name != REVERSE_DIRECTORY] == sorted(names, key=str.encode)


@pytest.mark.parametrize("make", EVERY)
def test_names_come_in_pages(place: Place, make: Make) -> None:
    resolver = make()
    for name in "abcde":
        place.run(lambda context, name=name: resolver.resolve(context, name))

    async def pages(context: Context) -> list[str]:
        found: list[str] = []
        while page := await resolver.names(context, after=found[-1] if found else None, limit=2):
            assert len(page) <= 2
            found += [name for name, _ in page]
        return found

    assert [name for name in place.run(pages) if len(name) == 1] == list("abcde")


@pytest.mark.parametrize("make", EVERY)
def test_what_is_not_interned_is_not_found_and_nothing_is_written(place: Place, make: Make) -> None:
    resolver = make()
    context = place.begin()
    assert run_blocking(resolver.find(context, "nobody")) is None
    assert context.counters.writes == 0
    context.close()
    with pytest.raises(NameNotInterned):
        place.run(lambda context: resolver.name_of(context, 12345))


@pytest.mark.parametrize("make", EVERY)
def test_a_name_whose_transaction_does_not_commit_is_not_interned(place: Place, make: Make) -> None:
    resolver = make()
    context = place.begin()
    run_blocking(resolver.resolve(context, "ana"))
    assert run_blocking(resolver.find(context, "ana")) is not None
    context.close()
    assert place.run(lambda context: resolver.find(context, "ana")) is None


@pytest.mark.parametrize("make", EVERY)
def test_one_name_asked_for_side_by_side_gets_one_number(place: Place, make: Make) -> None:
    resolver = make()

    async def work(context: Context) -> list[Name]:
        return list(await gather(*(resolver.resolve(context, name) for name in ("ana", "ana", "bo", "ana"))))

    first, second, other, third = place.run(work)
    assert first == second == third != other


@pytest.mark.parametrize("make", EVERY)
def test_many_writers_never_share_a_number(make: Make) -> None:
    engine = open_engine("memory:")
    found: dict[str, int] = {}
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        world = World(random=random.Random(thread))
        try:
            for number in range(25):
                name = f"{thread}/{number}" if number % 5 else f"shared {number}"
                while True:
                    context = Context(engine.begin(), world=world)
                    try:
                        interned = run_blocking(make().resolve(context, name)).number
                        run_blocking(context.commit())
                        break
                    except (Conflict, NamesCollide):
                        pass
                    finally:
                        context.close()
                assert found.setdefault(name, interned) == interned
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(set(found.values())) == len(found) == 4 * 20 + 5
    engine.close()


@pytest.mark.parametrize("make", EVERY)
def test_two_who_intern_one_name_at_once_conflict(place: Place, make: Make) -> None:
    resolver = make()
    place.run(lambda context: resolver.resolve(context, "the first makes what all need"))
    one, other = place.begin(), place.begin()
    run_blocking(resolver.resolve(one, "ana"))
    run_blocking(resolver.resolve(other, "ana"))
    run_blocking(one.commit())
    with pytest.raises(Conflict):
        run_blocking(other.commit())


def test_two_who_intern_different_names_at_once_do_not_conflict_unless_they_draw_the_same(place: Place) -> None:
    resolver = ScopedInterningLayer(SCOPE)
    one, other = place.begin(), place.begin()
    first, second = (run_blocking(resolver.resolve(context, name)) for context, name in ((one, "a"), (other, "b")))
    assert first != second, "with these draws"
    run_blocking(one.commit())
    run_blocking(other.commit())


# -- locks


@pytest.mark.parametrize("make", EVERY)
def test_a_locked_resolver_gives_out_known_names_only(place: Place, make: Make) -> None:
    resolver = make()
    known = place.run(lambda context: resolver.resolve(context, "known"))
    place.run(resolver.lock)
    assert place.run(resolver.state).lock == "WRITE_LOCKED"
    assert place.run(lambda context: resolver.resolve(context, "known")) == known
    with pytest.raises(ResolverLocked, match="WRITE_LOCKED"):
        place.run(lambda context: resolver.resolve(context, "new"))
    with pytest.raises(ResolverLocked):
        place.run(resolver.lock_exclusively)
    place.run(resolver.unlock)
    place.run(lambda context: resolver.resolve(context, "new"))
    place.run(resolver.lock_exclusively)
    place.run(resolver.retire)
    with pytest.raises(ResolverLocked, match="RETIRED"):
        place.run(lambda context: resolver.resolve(context, "newer"))


@pytest.mark.parametrize("make", EVERY)
def test_a_lock_conflicts_with_who_interns_a_name(place: Place, make: Make) -> None:
    resolver = make()
    context = place.begin()
    run_blocking(resolver.resolve(context, "new"))
    place.run(resolver.lock)
    with pytest.raises(Conflict):
        run_blocking(context.commit())


def test_a_check_may_refuse_new_names(place: Place) -> None:
    async def allows(context: Context, resolver: NameResolver, name: str) -> bool:
        return not name.startswith("_")

    resolver = ScopedInterningLayer(SCOPE, checks=[allows])
    place.run(lambda context: resolver.resolve(context, "ana"))
    with pytest.raises(ResolverLocked, match="check"):
        place.run(lambda context: resolver.resolve(context, "_ana"))


# -- what is kept with a name


@pytest.mark.parametrize("make", WITH_ABOUT)
def test_bytes_are_kept_with_a_name(place: Place, make: Make) -> None:
    resolver = make(about=lambda name: name.encode() if name != "bare" else None)
    for cached in (True, False):
        assert place.run(lambda context: resolver.resolve(context, "ana"), cached=cached).about == b"ana"
        assert place.run(lambda context: resolver.resolve(context, "bare"), cached=cached).about is None


def test_directories_keep_no_bytes_with_a_name(place: Place) -> None:
    with pytest.raises(UsageError, match="keep nothing"):
        place.run(lambda context: ScopedDirectoryLayer(about=str.encode).resolve(context, "ana"))
    with pytest.raises(UsageError, match="cannot be chosen"):
        place.run(lambda context: ScopedDirectoryLayer(SCOPE).put(context, "ana", Name(7)))


def test_bytes_kept_with_a_name_can_be_replaced_and_caches_learn_of_it(place: Place) -> None:
    resolver = ScopedInterningLayer(SCOPE)
    number = place.run(lambda context: resolver.resolve(context, "ana")).number
    other = Place()
    other.engine, other.clock, other.world = place.engine, place.clock, place.world
    assert other.run(lambda context: resolver.resolve(context, "ana")) == (number, None)
    place.run(lambda context: resolver.replace_about(context, "ana", b"new"))
    assert other.run(lambda context: resolver.resolve(context, "ana")) == (number, None), "known for a while"
    place.clock.advance(LOOK_AGAIN_SECONDS + 1)
    assert other.run(lambda context: resolver.resolve(context, "ana")) == (number, b"new")
    with pytest.raises(NameNotInterned):
        place.run(lambda context: resolver.replace_about(context, "nobody", b""))


# -- numbers chosen elsewhere


@pytest.mark.parametrize("make", WITH_ABOUT)
def test_numbers_that_were_all_chosen_elsewhere_do_not_keep_new_names_waiting(place: Place, make: Make) -> None:
    resolver = make()

    async def copy(context: Context) -> None:
        for number in range(300):  # all of the first windows
            await resolver.put(context, f"n{number}", Name(number, None))

    place.run(copy)
    numbers = [place.run(lambda context, name=name: resolver.resolve(context, name)).number for name in "ab"]
    assert len(set(numbers)) == 2
    assert min(numbers) >= 256


@pytest.mark.parametrize("make", WITH_ABOUT)
def test_names_are_copied_with_their_numbers(place: Place, make: Make) -> None:
    resolver = make()
    place.run(lambda context: resolver.put(context, "ana", Name(40, b"x")))
    place.run(lambda context: resolver.put(context, "ana", Name(40, b"x")))
    assert place.run(lambda context: resolver.resolve(context, "ana")) == (40, b"x")
    assert place.run(lambda context: resolver.name_of(context, 40)) == "ana"
    for name, number in (("ana", 41), ("bo", 40)):
        with pytest.raises(NamesDiffer):
            place.run(lambda context, name=name, number=number: resolver.put(context, name, Name(number)))
    taken = [place.run(lambda c, n=number: resolver.resolve(c, f"{n}")).number for number in range(40)]
    assert 40 not in taken, "a number that was put is not given out"
    with pytest.raises(UsageError):
        place.run(lambda context: resolver.put(context, "zoe", Name(-1)))


# -- bad input


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize(
    ("name", "error"), [("", UsageError), ("a\x00b", UsageError), (7, WrongType), (None, WrongType)]
)
def test_what_is_no_name_is_refused(place: Place, make: Make, name: Any, error: type[Exception]) -> None:
    context = place.begin()
    with pytest.raises(error):
        run_blocking(make().resolve(context, name))
    assert context.counters.writes == 0
    context.close()


def test_a_scope_is_a_path_or_bytes() -> None:
    with pytest.raises(WrongType):
        ScopedInterningLayer("scope")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", EVERY)
@pytest.mark.parametrize("value", [b"\xff\xff", b"\xfd\xff", b"", b"\x01x\x00"])
def test_an_entry_that_cannot_be_understood_is_told(place: Place, make: Make, value: bytes) -> None:
    resolver = make()
    if isinstance(resolver, ScopedInterningLayer) and value == b"":
        return  # an empty message is a message

    async def break_it(context: Context) -> None:
        where = await resolver._place(context)
        context.set(where.mapping.pack(("broken",)), value)

    place.run(break_it)
    with pytest.raises(CorruptName):
        place.run(lambda context: resolver.resolve(context, "broken"))


@pytest.mark.parametrize("make", EVERY)
def test_a_state_that_cannot_be_understood_is_told(place: Place, make: Make) -> None:
    resolver = make()

    async def break_it(context: Context) -> None:
        context.set((await resolver._place(context)).state, b"\xff\xff")

    place.run(break_it)
    with pytest.raises(CorruptName):
        place.run(resolver.state)


def test_a_reverse_entry_that_names_another_is_told(place: Place) -> None:
    resolver = ExtendedDirectoryLayer(SCOPE)
    place.run(lambda context: resolver.resolve(context, "ana"))
    reverse = next(
        key for key, value in run_blocking(place.begin().read_all(SCOPE, SCOPE + b"\xfe")) if value == pack(("ana",))
    )

    async def break_it(context: Context) -> None:
        context.set(reverse, pack(("bo",)))

    place.run(break_it)
    with pytest.raises(NamesDiffer):
        place.run(lambda context: resolver.resolve(context, "ana"), cached=False)


def test_a_number_below_which_there_are_keys_is_not_given_out_in_the_whole_database(place: Place) -> None:
    async def occupy(context: Context) -> None:
        for number in range(64):
            context.set(pack((number, "somebody's")), b"")

    place.run(occupy)
    with pytest.raises(NamesCollide):
        place.run(lambda context: ScopedInterningLayer().resolve(context, "ana"))
    place.run(lambda context: ScopedInterningLayer(SCOPE).resolve(context, "ana"))


# -- the cache


def test_a_cached_name_costs_no_read(place: Place) -> None:
    for resolver in (ExtendedDirectoryLayer(), ScopedInterningLayer(SCOPE)):
        number = place.run(lambda context, resolver=resolver: resolver.resolve(context, "ana")).number
        place.run(lambda context, resolver=resolver: resolver.state(context))
        context = place.begin()
        run_blocking(resolver.resolve(context, "ana"))
        reads = context.counters.reads
        assert run_blocking(resolver.resolve(context, "ana")).number == number
        assert run_blocking(resolver.name_of(context, number)) == "ana"
        assert context.counters.reads == reads <= 1
        context.close()


def test_the_cache_is_bounded() -> None:
    known = Known()
    for number in range(MOST_NAMES + 10):
        known.learn(str(number), Name(number))
        known.is_new(f"new {number}", float(number))
    assert len(known.names) == len(known.numbers) == MOST_NAMES
    assert str(MOST_NAMES + 9) in known.names
    assert "0" not in known.names


def test_a_name_read_in_the_transaction_that_made_it_is_not_known_to_others(place: Place) -> None:
    resolver = ScopedInterningLayer(SCOPE)
    context = place.begin()
    mine = run_blocking(resolver.resolve(context, "ana"))
    assert run_blocking(resolver.resolve(context, "ana")) == mine
    context.close()
    context = place.begin()
    assert run_blocking(resolver.find(context, "ana")) is None
    context.close()


# -- scopes of paths


def test_a_scope_may_be_a_path_with_interned_names_itself(place: Place) -> None:
    outer = KeySpace(InternedDirectory("tenant", KeySpaceDirectory("names", str, value="n")))
    scope = outer.path("tenant", "acme").add("names")
    inner = KeySpace(InternedDirectory("name", resolver=ScopedInterningLayer(scope)))

    async def work(context: Context) -> tuple[bytes, int]:
        resolved = await inner.path("name", "ana").resolve(context)
        return (await scope.resolve(context)).prefix, resolved.items[0]

    prefix, number = place.run(work)
    rows = dict(run_blocking(place.begin().read_all(prefix, prefix + b"\xff")))
    assert rows[prefix + pack((1, number))] == pack(("ana",))


def test_resolvers_are_equal_where_layout_and_scope_are() -> None:
    assert ScopedInterningLayer(SCOPE) == ScopedInterningLayer(SCOPE)
    assert hash(ScopedInterningLayer(SCOPE)) == hash(ScopedInterningLayer(SCOPE))
    assert ScopedInterningLayer(SCOPE) != ScopedInterningLayer()
    assert ScopedInterningLayer(SCOPE) != ExtendedDirectoryLayer(SCOPE)
    assert ExtendedDirectoryLayer() != ScopedDirectoryLayer()
