"""What a tenant at a hundred times its limit does to others: their latency with it, and without.

Five tenants share a file that is written without waiting for the disk. Four of them work steadily in a thread each:
transactions that save a record and query ten, with a pause of some milliseconds. The fifth is limited, and four threads
ask for a hundred times of what it may: they wait for their turn, or are refused and ask again all the same. The peers
are the same without the fifth, and with four threads in its place that wake up as often as they would ask, and ask for
nothing: what threads cost each other that share an interpreter. All take turns in the same run.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from statistics import median, quantiles
from time import perf_counter, sleep

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Ops, Report, Settings, Spread
from bench.stores import ITEMS, Item
from recordlayer.blocking.database import Database
from recordlayer.errors import Conflict, TenantOverLimit
from recordlayer.tenant import Overload, TenantLimits
from recordlayer.world import World

ENGINES = ("file", "memory")
OTHERS, GREEDY = 4, 4  # threads
PAUSE = 0.004  # seconds between two transactions of a tenant that behaves
LIMIT = 50  # keys written a second
TIMES_OVER = 100
MOVED = 1.2
"""Upper bound of the others' p99 with / without."""

IDLE = "idle"
_Kind = Overload | str | None
PEERS: dict[str, _Kind] = {"without it": None, "idle threads": IDLE}


def run(settings: Settings) -> Report:
    """Every case on one engine."""
    with ground_for(settings, "tenants", ENGINES[0]) as ground:
        return Report(bench="tenants", engine=ground.kind, cases=tuple(cases(settings, ground)))


def cases(settings: Settings, ground: Ground) -> Iterator[Case]:
    rounds, seconds = (3, 1.5) if settings.quick else (6, 4.0)
    db = Database(ground.engine("tenants"), world=World())
    for number in range(OTHERS):
        for start in range(0, 1_000, 100):
            with db.transaction() as tx:
                tx.store(ITEMS, path=("other", number)).save_many([_item(start + one) for one in range(100)])
    db.tenant(("greedy",)).set_limits(TenantLimits(keys_written=LIMIT))
    for overload in Overload:
        settings.say(f"a tenant over its limit: {overload.value}")
        kinds: tuple[_Kind, ...] = (overload, None, IDLE)
        found: dict[_Kind, list[float]] = {kind: [] for kind in kinds}
        asked = used = 0.0
        _phase(db, 1.0, greedy=None)
        for number in range(rounds):
            for greedy in (*kinds[number % 3 :], *kinds[: number % 3]):
                before = db.tenant(("greedy",)).usage().keys_written
                latencies, tries = _phase(db, seconds, greedy=greedy)
                found[greedy].append(quantiles(latencies, n=100)[98] * 1e3)
                if greedy is overload:
                    asked += tries / seconds / rounds
                    used += (db.tenant(("greedy",)).usage().keys_written - before) / seconds / rounds
        settings.say(f"it asked for {asked:,.0f} transactions a second, and wrote {used:,.0f} keys a second")
        yield Case(
            case=f"p99 of others beside a tenant at {TIMES_OVER} times its limit: {overload.value}",
            unit="ms",
            ours=_spread(found[overload]),
            peers={name: _spread(found[kind]) for name, kind in PEERS.items()},
            ratio={
                name: median(ours / theirs for ours, theirs in zip(found[overload], found[kind], strict=True))
                for name, kind in PEERS.items()
            },
            target={"without it": MOVED},
            ops=Ops(),
        )


def _spread(times: list[float]) -> Spread:
    return Spread(median(times), min(times), max(times))


def _phase(db: Database, seconds: float, *, greedy: _Kind) -> tuple[list[float], int]:
    """The latencies of the others in seconds, and how often the greedy tenant asked."""
    latencies: list[float] = []
    asked: list[int] = []
    end = perf_counter() + seconds
    threads = [threading.Thread(target=_other, args=(db, number, end, latencies)) for number in range(OTHERS)]
    if greedy is not None:
        threads += [threading.Thread(target=_greedy, args=(db, end, greedy, asked)) for _ in range(GREEDY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies, sum(asked)


def _other(db: Database, number: int, end: float, latencies: list[float]) -> None:
    numbers = random.Random(number)
    while perf_counter() < end:
        began = perf_counter()
        with db.transaction() as tx:
            store = tx.store(ITEMS, path=("other", number))
            store.save(_item(numbers.randrange(1_000)))
            store.query(rl.query("Item").where(rl.q.owner == f"owner {numbers.randrange(100)}"), limit=10).all()
        latencies.append(perf_counter() - began)
        sleep(PAUSE * numbers.uniform(0.5, 1.5))


def _greedy(db: Database, end: float, overload: Overload | str, asked: list[int]) -> None:
    """Ask for a hundred times of what the limit allows, whatever the answer; or for nothing, as often."""
    tries = 0
    tenant = db.tenant(("greedy",))
    between = GREEDY * 3 / (LIMIT * TIMES_OVER)  # a transaction writes three keys
    while (now := perf_counter()) < end:
        tries += 1
        try:
            if isinstance(overload, Overload):
                with tenant.transaction(overload=overload) as tx:
                    tx.store(ITEMS, path=("greedy",)).save(_item(random.randrange(1_000_000)))
        except (Conflict, TenantOverLimit):  # threads that make the store at once conflict
            pass
        sleep(max(0.0, now + between - perf_counter()))
    asked.append(tries)


def _item(number: int) -> object:
    return Item(id=number, owner=f"owner {number % 100}", text="x" * 60)
