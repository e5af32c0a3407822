"""Rows of what the service owes its clients and operators that no other test shows: see `test_service_audit`."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from recordlayer import aio
from recordlayer.aio import Transaction
from recordlayer.client.pb import context_pb2
from recordlayer.online.options import BuildLimits
from recordlayer_server.config import Address, Config, Showing
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.operation.around import around_of
from recordlayer_server.places import DEVELOPMENT, PUBLIC, Tenant
from tests.server.test_guarded import shown_by
from tests.support.photos import CONTAINER, description
from tests.support.service import Caller, calling, operation, run, serving_over, where
from tests.support.watching import Watch

PHOTOS = Tenant(CONTAINER, DEVELOPMENT, PUBLIC, "")


class Numbers:
    """What a scraper has got: `numbers["name", {"label": "value"}]`, summed over all other labels."""

    def __init__(self, text: str) -> None:
        families = text_string_to_metric_families(text)
        self._samples = [sample for family in families for sample in family.samples]

    def of(self, name: str, **labels: str) -> float:
        found = [one.value for one in self._samples if one.name == name and labels.items() <= one.labels.items()]
        assert found, f"nothing is shown of {name} {labels}"
        return sum(found)


def test_o11_a_scraper_sees_the_layer_and_the_engine_beneath_the_calls() -> None:
    """The numbers by method and tenant are shown by `test_guarded` and `operation.test_metrics`."""
    showing = Showing(metrics=Address("127.0.0.1", 0))
    around = around_of(Config(db="memory:", showing=showing))

    async def scenario() -> None:
        async with aio.open("memory:", observer=around.observers()) as database:
            databases = Databases(database, limits=Limits(record_bytes=300_000))
            await databases.put_containers({CONTAINER: description()})
            async with serving_over(databases, around=around, showing=showing) as server, calling(server) as channel:
                caller = Caller(channel)
                for number in range(5):
                    await caller.create(f"p{number}", rating=number, tags=["a", "b"])
                await caller.create("large", hash=bytes(250_000))
                for least in (0, 1, 2):
                    await caller.names(where("rating", "GREATER_THAN", least), limit=2)
                await caller.query(limits=context_pb2.ReadLimits(keys=2))
                await disturbed(databases, caller)
                await half_built(databases, "by_title")
                async with Watch(caller) as watch:
                    for target in (1, 2):
                        await watch.add(target)
                    seen = Numbers(await asyncio.to_thread(shown_by, server))

            assert seen.of("recordlayer_read_version_seconds_count") > 10
            assert seen.of("recordlayer_commit_seconds_count", outcome="committed") > 6
            assert seen.of("recordlayer_errors_total", code="conflict") >= 1
            assert seen.of("recordlayer_retries_total", code="conflict") >= 1
            assert seen.of("recordlayer_read_bytes_total") > 250_000
            assert seen.of("recordlayer_written_bytes_total", part="records") > 250_000

            assert seen.of("recordlayer_stores_opened_total", cached="true") > 5
            assert seen.of("recordlayer_plans_total", cached="false") >= 1
            assert seen.of("recordlayer_plans_total", cached="true") >= 1
            assert seen.of("recordlayer_writes_total", part="index", index="by_tag") >= 10, (
                "two entries for each record"
            )
            assert seen.of("recordlayer_split_records_total") == 1
            assert seen.of("recordlayer_pages_total", stopped="limit_reached") >= 3
            assert seen.of("recordlayer_pages_total", stopped="exhausted") >= 1
            assert seen.of("recordlayer_pages_total", stopped="scan_limit") >= 1

            assert seen.of("recordlayer_built_records_total", index="by_title") == 3
            assert seen.of("recordlayer_build_seconds_count", index="by_title") >= 1

            assert seen.of("recordlayer_server_watches") == 2
            assert seen.of("recordlayer_server_watch_streams") == 1
            assert seen.of("recordlayer_server_loop_lag_seconds_count") >= 0

    run(scenario())


async def disturbed(databases: Databases, caller: Caller) -> None:
    """Change a record that a caller changes meanwhile."""
    attempts: list[int] = []

    async def work(tx: Transaction) -> None:
        store = await databases.records(tx, PHOTOS)
        assert store is not None
        stored: Any = await store.load_record(("", "p0"))
        if not attempts:
            await caller.modify(operation("FORCE_UPDATE", "p0", rating=9))
        attempts.append(1)
        await store.save(stored.message)

    await databases.database.run(work)
    assert len(attempts) == 2


async def half_built(databases: Databases, index: str) -> None:
    """Begin to build an index again, and stop after three records."""

    async def disable(tx: Transaction) -> Any:
        store = await databases.records(tx, PHOTOS)
        assert store is not None
        await store.disable_index(index)
        return store.metadata, await databases.place(tx, PHOTOS)

    metadata, place = await databases.database.run(disable)
    build = databases.database.online_indexer(
        metadata, path=place.records, indexes=[index], limits=BuildLimits(records=3), told=lambda _: build.stop()
    )
    assert not (await build.build()).finished
