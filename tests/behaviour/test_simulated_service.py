"""The service's handlers in simulations: servers that die over one database, callers that die too and send everything
again, replies that are lost. Each request with an idempotency key counts once, and change lists hold what the store
holds. RECORDLAYER_SEEDS=100 goes through a hundred times as many.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
import pytest
from grpc import aio as grpc_aio

from recordlayer.client.pb import records_pb2
from recordlayer.errors import TransactionError
from recordlayer.testing import Simulation, seeds, simulate
from recordlayer_server import statuses
from recordlayer_server.databases import Databases
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from tests.support.in_process import Asked, Channel, InProcess, error_of
from tests.support.photos import CONTAINER, description
from tests.support.replicas import Replica, held, truth
from tests.support.service import Caller, check_databases, operation, reason, retries, status_of, value

T = TypeVar("T")

ANA = Tenant(CONTAINER, DEVELOPMENT, PRIVATE, "ana")
WRITERS, STEPS = 3, 5
LOST = 0.05  # of the replies


class Port:
    """Where a server listens, while one lives there. Who has asked one that dies gets no answer."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._coming: asyncio.Queue[tuple[Asked, asyncio.Future[bytes]] | None] | None = None
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

    async def serve(self, server: InProcess) -> None:
        """Answer each call in a task of the process that serves, so that they die with it."""
        if self.is_closed:  # since this life began
            return
        coming = self._coming = asyncio.Queue()
        open_calls: set[asyncio.Task[None]] = set()
        try:
            while (one := await coming.get()) is not None:
                task = asyncio.create_task(_answer(server, *one))
                open_calls.add(task)
                task.add_done_callback(open_calls.discard)
                task.add_done_callback(lambda _, reply=one[1]: _hang_up(reply))
        finally:
            if self._coming is coming:
                self._coming = None
            while not coming.empty():
                if (left := coming.get_nowait()) is not None:
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

    @property
    def writers_work(self) -> bool:
        return any(number < WRITERS for number in self._working)

    def ended(self, number: int) -> None:
        self._working.discard(number)
        if not self._working:
            for port in self._ports:
                port.close()

    async def answered(self, chance: random.Random, call: Callable[[Caller], Awaitable[T]]) -> T:
        while True:
            caller = Caller(Channel(chance.choice(self._ports).send), user="ana")  # type: ignore[arg-type]
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
    return retries(status) or statuses.reason_of(status) in ("COMMIT_UNKNOWN", "DEADLINE")


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


async def judged(db: Any, replica: Replica) -> None:
    databases = Databases(db)
    async with db.transaction() as tx:
        store = await databases.records(tx, ANA)
        assert store is not None
        found = {stored.primary_key[1]: stored.message async for stored in store.scan().records()}
    views = {name: record.views for name, record in found.items() if record.views}
    expected = {f"w{number}-{kind}": STEPS for number in range(WRITERS) for kind in ("counter", "apart")}
    assert views == expected | {"shared": WRITERS * STEPS, "apart": WRITERS * STEPS}
    created = {f"w{number}-{step}" for number in range(WRITERS) for step in (STEPS - 2, STEPS - 1)}
    assert found.keys() == views.keys() | created | {"left", "right"}
    assert held(replica) == await truth(databases, ANA)
    await check_databases(databases)


@pytest.mark.parametrize("seed", seeds(2, first=3_000))
def test_requests_count_once_and_change_lists_hold_what_the_store_holds(seed: int) -> None:
    with simulate(seed, faults=0.02, deaths=0.003) as sim:
        sim.run(Databases(sim.database).put_containers({CONTAINER: description()}))
        ports = [Port(sim) for _ in range(2)]
        callers, replica = Callers(ports, WRITERS + 2), list[Replica]()
        for port in ports:
            sim.process(serves, port)
        for number in range(WRITERS):
            sim.process(writes, callers, number)
        sim.process(reads, callers, WRITERS)
        sim.process(follows, callers, WRITERS + 1, replica)
        sim.run_processes()
        sim.run(judged(sim.database, replica[0]))
