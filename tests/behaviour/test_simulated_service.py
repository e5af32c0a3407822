"""The service's handlers in simulations: servers that die over one database, callers that die too and send everything
again, replies that are lost, streams that break. Each request with an idempotency key counts once, and so does each
transaction of several steps, which sees one moment; change lists and watches hold what the store holds.
RECORDLAYER_SEEDS=100 goes through a hundred times as many.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import records_pb2, sync_pb2
from recordlayer.errors import TransactionError
from recordlayer.testing import Simulation, seeds, simulate
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from tests.support.in_process import Asked, Channel, InProcess, Stream, error_of
from tests.support.photos import CONTAINER, description
from tests.support.replicas import Replica, held, truth
from tests.support.service import Caller, check_databases, operation, reason, retries, status_of, value
from tests.support.transacting import Transact
from tests.support.watching import Watch

T = TypeVar("T")

ANA = Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana")
WRITERS, MOVERS, STEPS = 3, 2, 5
CLOSER = WRITERS + MOVERS
READER, FOLLOWER, WATCHER, HINTED = range(CLOSER + 1, CLOSER + 5)
PATIENCE = 120.0  # seconds on the clock of the simulation
LOST = 0.05  # of the replies
BROKEN = 0.03  # of the streams, at every reply


class Port:
    """Where a server listens, while one lives there. Who has asked one that dies gets no answer."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._coming: asyncio.Queue[tuple[Asked, asyncio.Future[bytes]] | Stream | None] | None = None
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True
        if self._coming is not None:
            self._coming.put_nowait(None)

    async def send(self, asked: Asked) -> bytes:
        if self._coming is None:
            await asyncio.sleep(0.01)
            raise _broken("nobody listens")
        reply = asyncio.get_running_loop().create_future()
        self._coming.put_nowait((asked, reply))
        found: bytes = await reply
        if self._sim.shuffle.random.random() < LOST:
            raise _broken("the reply is lost")
        return found

    def connect(self, stream: Stream) -> None:
        stream.breaks = self._breaks
        if self._coming is None:
            stream.hang_up(_broken("nobody listens"))
        else:
            self._coming.put_nowait(stream)

    def _breaks(self) -> bool:
        return self._sim.shuffle.random.random() < BROKEN

    async def serve(self, server: InProcess) -> None:
        """Answer each call in a task of the process that serves, so that they die with it."""
        if self.is_closed:  # since this life began
            return
        coming = self._coming = asyncio.Queue()
        open_calls: set[asyncio.Task[None]] = set()
        try:
            while (one := await coming.get()) is not None:
                if isinstance(one, Stream):
                    one.begin(server)
                    continue
                task = asyncio.create_task(_answer(server, *one))
                open_calls.add(task)
                task.add_done_callback(open_calls.discard)
                task.add_done_callback(lambda _, reply=one[1]: _hang_up(reply))
        finally:
            if self._coming is coming:
                self._coming = None
            while not coming.empty():
                left = coming.get_nowait()
                if isinstance(left, Stream):
                    left.hang_up(_broken("the server died"))
                elif left is not None:
                    _hang_up(left[1])


async def _answer(server: InProcess, asked: Asked, reply: asyncio.Future[bytes]) -> None:
    try:
        answer = await server.answered(asked)
    except grpc_aio.AioRpcError as error:
        if not reply.done():
            reply.set_exception(error)
    else:
        if not reply.done():
            reply.set_result(answer)


def _hang_up(reply: asyncio.Future[bytes]) -> None:
    if not reply.done():
        reply.set_exception(_broken("the server died"))


def _broken(why: str) -> grpc_aio.AioRpcError:
    return error_of(grpc.StatusCode.UNAVAILABLE, why)


async def serves(db: Any, port: Port) -> None:
    """A server: each life begins with nothing in memory."""
    databases = Databases(db)
    await until_it_works(lambda: databases.put_containers({CONTAINER: description()}))
    await port.serve(InProcess(databases))


async def until_it_works(work: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await work()
        except TransactionError:
            await asyncio.sleep(0.1)


class Callers:
    """Callers that try again as the service says: where there is a RetryInfo, no answer at all, or no answer in time.
    The last one that is done closes the ports."""

    def __init__(self, ports: list[Port], count: int) -> None:
        self._ports = ports
        self._working = set(range(count))
        self.answers: dict[str, list[Any]] = {}
        self.moved = asyncio.Event()
        """Set when all that is left to write is that it is over."""

    @property
    def writers_work(self) -> bool:
        return any(number <= CLOSER for number in self._working)

    def ended(self, number: int) -> None:
        self._working.discard(number)
        if all(one >= CLOSER for one in self._working):
            self.moved.set()
        if not self._working:
            for port in self._ports:
                port.close()

    async def answered(self, chance: random.Random, call: Callable[[Caller], Awaitable[T]]) -> T:
        while True:
            port = chance.choice(self._ports)
            caller = Caller(Channel(port.send, port.connect), user="ana")  # type: ignore[arg-type]
            try:
                return await call(caller)
            except grpc_aio.AioRpcError as error:
                if not self._again(error):
                    raise
            await asyncio.sleep(chance.random() * 0.2)

    @staticmethod
    def _again(error: grpc_aio.AioRpcError) -> bool:
        if not reason(error):
            return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
        return _is_worth_it(status_of(error))


def _is_worth_it(status: Any) -> bool:
    """Whether trying again is, with an idempotency key."""
    return retries(status) or statuses.reason_of(status) in ("COMMIT_UNKNOWN", "DEADLINE", "TRANSACTION_ENDED")


def increments(name: str) -> records_pb2.Operation:
    made = operation("FORCE_UPDATE", name)
    made.transforms.add(field="views").increment.CopyFrom(value(1))
    return made


async def writes(_: Any, callers: Callers, number: int) -> None:
    """Every request has an effect that shows if it is applied twice. What dies sends all of them again."""
    chance = random.Random(number)
    for step in range(STEPS):
        key, name = f"{number}-{step}", f"w{number}-"
        batch = [
            increments("shared"),
            increments(f"{name}counter"),
            operation("CREATE", f"{name}{step}", title=key, rating=step, caption="one two", tags=["x", str(step)]),
            operation("FORCE_UPDATE", "left", rating=number * 100 + step),
            operation("FORCE_UPDATE", "right", rating=number * 100 + step),
        ]
        if step > 1:
            batch.append(operation("FORCE_DELETE", f"{name}{step - 2}"))
        reply = await callers.answered(
            chance, lambda caller, batch=batch, key=key: caller.modify(*batch, idempotency_key=key)
        )
        found = [(one.status.code, one.record.name.name, one.record.change_tag) for one in reply.results]
        assert callers.answers.setdefault(key, found) == found, "the same request, the same results"
        await writes_apart(callers, chance, [increments("apart"), increments(f"{name}apart")], key)
    callers.ended(number)


async def writes_apart(callers: Callers, chance: random.Random, left: list[records_pb2.Operation], key: str) -> None:
    """Each operation with a key of its own, until all have been applied."""
    for place, one in enumerate(left):
        one.idempotency_key = f"{key}-{place}"
    while left:
        reply = await callers.answered(chance, lambda caller: caller.modify(*left, atomic=False))
        results = list(zip(left, reply.results, strict=True))
        assert all(_is_worth_it(result.status) for _, result in results if result.status.code)
        left[:] = [one for one, result in results if result.status.code]


async def moves(_: Any, callers: Callers, number: int) -> None:
    """Each transaction counts once."""
    chance = random.Random(number)
    for step in range(STEPS):
        await callers.answered(chance, lambda caller, step=step: move(caller, number, step))
    callers.ended(number)


async def move(caller: Caller, number: int, step: int) -> None:
    """Move one from a record to another, or take over a duty that nobody has, by what was read before."""
    key = f"m{number}-{step}"
    async with Transact(caller, idempotency_key=key) as tx:
        if tx.begun.WhichOneof("kind") == "committed":
            return
        if step % 2:
            busy = [await rating(tx, f"duty{other}") for other in range(WRITERS, CLOSER)]
            assert sum(busy) <= 1, "what only was read has not changed at the commit either"
            await tx.modify(operation("FORCE_UPDATE", f"duty{number}", rating=int(not any(busy))))
        else:
            gives, takes = await rating(tx, "gives"), await rating(tx, "takes")
            assert gives + takes == 0, "two steps see one moment"
            await tx.modify(
                operation("FORCE_UPDATE", "gives", rating=gives - 1),
                operation("FORCE_UPDATE", "takes", rating=takes + 1),
            )
            assert await rating(tx, "takes") == takes + 1, "its own writes"
        await tx.modify(operation("CREATE", key, rating=step))
        assert (await tx.commit()).WhichOneof("kind") == "committed"


async def rating(tx: Transact, name: str) -> int:
    (found,) = await tx.look_up(name)
    return 0 if found is None else found.fields.fields["rating"].integer_value


async def closes(_: Any, callers: Callers, number: int) -> None:
    """Says that it is over, so that those who watch have something to wait for."""
    await callers.moved.wait()
    await callers.answered(
        random.Random(number), lambda caller: caller.modify(operation("CREATE", "end"), idempotency_key="end")
    )
    callers.ended(number)


async def reads(_: Any, callers: Callers, number: int) -> None:
    """What one call answers is of one moment; pages of a query are in order, whoever answers them."""
    chance = random.Random(number)
    while callers.writers_work:
        pair = await callers.answered(chance, lambda caller: caller.lookup("left", "right"))
        assert len({(one.status.code, one.record.fields.fields["rating"].integer_value) for one in pair}) == 1
        seen: list[str] = []
        said: Mapping[str, Any] = {"limit": 3}
        while True:
            page = await callers.answered(chance, lambda caller, said=said: caller.query(**said))
            seen += [record.name.name for record in page.records]
            if not page.continuation:
                break
            said = {"limit": 3, "continuation": page.continuation}
        assert seen == sorted(set(seen))
        await asyncio.sleep(chance.random())
    callers.ended(number)


async def follows(_: Any, callers: Callers, number: int, replica: list[Replica]) -> None:
    """Keeps a copy by the change lists."""
    chance = random.Random(number)
    replica[:] = [Replica(chance)]
    while True:
        last = not callers.writers_work
        await callers.answered(chance, lambda caller: replica[0].sync(caller))
        if last:
            callers.ended(number)
            return
        await asyncio.sleep(chance.random() * 0.5)


class Watcher:
    """A copy that is kept by what comes on a stream."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self._token = b""
        self._current = False

    async def until_the_end(self, caller: Caller) -> None:
        """Take what comes until it is over.  Raises  AioRpcError; then another stream goes on where this one was."""
        async with Watch(caller) as watch:
            await watch.add(1, content=True, token=self._token)
            while not (self._current and "end" in self.records):  # what comes first is in the order of names
                async with asyncio.timeout(PATIENCE):  # something is told until then, if only that there is nothing
                    self._take(await watch.next(progress=True))

    def _take(self, reply: sync_pb2.WatchReply) -> None:
        kind = reply.WhichOneof("kind")
        self._current = kind == "current" or (kind == "progress" and self._current)
        if kind == "changed":
            for record in reply.changed.records:
                if record.deleted:
                    self.records.pop(record.name.name, None)
                else:
                    self.records[record.name.name] = record.change_tag
            self._token = reply.changed.token
        elif kind == "current":
            self._token = reply.current.token
        elif kind == "progress":
            self._token = next((one.token for one in reply.progress.targets if one.target == 1), self._token)
        else:
            assert kind == "reset", reply
            self.records, self._token = {}, b""


async def watches(_: Any, callers: Callers, number: int, watcher: list[Watcher]) -> None:
    watcher[:] = [Watcher()]
    await callers.answered(random.Random(number), lambda caller: watcher[0].until_the_end(caller))
    callers.ended(number)


async def follows_hints(_: Any, callers: Callers, number: int, replica: list[Replica]) -> None:
    """Keeps a copy by the change lists, and asks for them only when it is told that there is something."""
    copy = Replica(random.Random(number))
    replica[:] = [copy]

    def is_over() -> bool:
        return "end" in copy.records.get("", {}) and not copy.stale

    async def until_the_end(caller: Caller) -> None:
        while not is_over():
            await copy.sync(caller)
            async with Watch(caller) as watch:
                await watch.add(1, token=copy.tokens.get("", b""))
                while not is_over():
                    async with asyncio.timeout(PATIENCE):
                        reply = await watch.next(progress=True)
                    if reply.WhichOneof("kind") == "reset":
                        break
                    if reply.WhichOneof("kind") == "changed":
                        await copy.sync(caller)

    await callers.answered(random.Random(number), until_the_end)
    callers.ended(number)


async def judged(db: Any, replicas: list[Replica], watcher: Watcher) -> None:
    databases = Databases(db)
    async with db.transaction() as tx:
        store = await databases.records(tx, ANA)
        assert store is not None
        found = {stored.primary_key[1]: stored.message async for stored in store.scan().records()}
    views = {name: record.views for name, record in found.items() if record.views}
    expected = {f"w{number}-{kind}": STEPS for number in range(WRITERS) for kind in ("counter", "apart")}
    assert views == expected | {"shared": WRITERS * STEPS, "apart": WRITERS * STEPS}
    created = {f"w{number}-{step}" for number in range(WRITERS) for step in (STEPS - 2, STEPS - 1)}
    created |= {f"m{number}-{step}" for number in range(WRITERS, CLOSER) for step in range(STEPS)}
    duties = {f"duty{number}" for number in range(WRITERS, CLOSER)}
    assert found.keys() == views.keys() | created | duties | {"left", "right", "gives", "takes", "end"}
    moved = MOVERS * len(range(0, STEPS, 2))
    assert [found[name].rating for name in ("gives", "takes")] == [-moved, moved]
    assert sum(found[name].rating for name in duties) <= 1
    expected_records = await truth(databases, ANA)
    for replica in replicas:
        assert held(replica) == expected_records
    assert watcher.records == expected_records[""]
    await check_databases(databases)


@pytest.mark.parametrize("seed", seeds(2, first=3_000))
def test_requests_count_once_and_change_lists_hold_what_the_store_holds(seed: int) -> None:
    with simulate(seed, faults=0.02, deaths=0.003) as sim:
        sim.run(Databases(sim.database).put_containers({CONTAINER: description()}))
        ports = [Port(sim) for _ in range(2)]
        callers, replicas, watcher = Callers(ports, HINTED + 1), [list[Replica](), list[Replica]()], list[Watcher]()
        for port in ports:
            sim.process(serves, port)
        for number in range(WRITERS):
            sim.process(writes, callers, number)
        for number in range(WRITERS, CLOSER):
            sim.process(moves, callers, number)
        sim.process(closes, callers, CLOSER)
        sim.process(reads, callers, READER)
        sim.process(follows, callers, FOLLOWER, replicas[0])
        sim.process(watches, callers, WATCHER, watcher)
        sim.process(follows_hints, callers, HINTED, replicas[1])
        sim.run_processes()
        sim.run(judged(sim.database, [one for (one,) in replicas], watcher[0]))
