"""What a server does beside its calls: schemas of its settings, keys whose time is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from recordlayer.aio import Database
from recordlayer.errors import EvolutionRefused, InvalidSettings, SchemaError
from recordlayer.kv.registry import open_engine
from recordlayer.world import World
from recordlayer_server.databases import Databases
from recordlayer_server.limits import Limits
from recordlayer_server.loading import load
from recordlayer_server.places import DEVELOPMENT
from recordlayer_server.upkeep import keep_up, upkeep
from tests.support.photos import CONTAINER, description, descriptor_set
from tests.support.service import Caller, calling, operation, photos, run


def databases() -> Databases:
    return Databases(Database(open_engine("memory:"), world=World()))


def test_containers_are_named_with_their_files(tmp_path: Path) -> None:
    file = tmp_path / "photos.binpb"
    file.write_bytes(description())
    config = load({"db": "memory:", "containers": f"a={file}, b={file}"}, {})
    assert config.containers == {"a": description(), "b": description()}


@pytest.mark.parametrize("text", ["a", "a=", "=x", "a=nowhere.binpb", "a=setup.py,a=setup.py"])
def test_containers_that_are_not_named_so_are_refused(text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load({"db": "memory:", "containers": text}, {})
    assert any("containers" in problem for problem in caught.value.problems)


def test_a_schema_is_there_before_the_port_opens_and_one_that_will_not_do_is_said() -> None:
    async def scenario() -> None:
        made = databases()
        async with upkeep(made, {CONTAINER: description()}):
            again = await made.put_container(CONTAINER, description(), DEVELOPMENT)
            first = again.version
        with pytest.raises(SchemaError):
            async with upkeep(made, {CONTAINER: b"\xff"}):
                pass
        assert (await made.put_container(CONTAINER, description(), DEVELOPMENT)).version == first
        await made.database.close()

    run(scenario())


def test_a_schema_goes_on_by_the_rules_of_evolution() -> None:
    async def scenario() -> None:
        made = databases()
        first = await made.put_container("c", description(), DEVELOPMENT)
        # without its indexes: they become former ones
        bare = await made.put_container("c", descriptor_set(), DEVELOPMENT)
        assert bare.version > first.version
        assert {former.former_name for former in bare.former_indexes} >= {"by_title", "ranks"}
        shrunk = descriptor_set().replace(b"\x0a\x05title", b"\x0a\x05other")
        with pytest.raises(EvolutionRefused):
            await made.put_container("c", shrunk, DEVELOPMENT)
        await made.database.close()

    run(scenario())


def test_settings_of_a_newer_server_wait_for_the_servers_that_live() -> None:
    async def scenario() -> None:
        made = databases()
        first = await made.put_container("c", descriptor_set(), DEVELOPMENT)
        await made.instance.renew()
        newer = Databases(made.database)
        for _ in range(2):
            assert (await newer.put_container("c", description(), DEVELOPMENT)).version == first.version
        await made.instance.look()
        now = await newer.put_container("c", description(), DEVELOPMENT)
        assert now.version > first.version
        assert "by_title" in now.indexes
        async with upkeep(made, {}):
            assert made.instance.lives
        assert not made.instance.lives, "it has given its lease back"
        assert (await newer.put_container("c", descriptor_set(), DEVELOPMENT)).version > now.version
        await made.database.close()

    run(scenario())


def test_keys_whose_time_is_over_are_forgotten() -> None:
    async def scenario() -> None:
        limits = Limits(idempotency_key_age=timedelta(0))
        async with photos(limits=limits) as (server, made), calling(server) as channel:
            caller = Caller(channel)
            one = operation("FORCE_UPDATE", "a", title="t")
            await caller.modify(one, idempotency_key="k")
            assert (await caller.modify(one, idempotency_key="k")).replayed
            task = asyncio.create_task(keep_up(made, interval=timedelta(milliseconds=10)))
            again = await caller.modify(one, idempotency_key="k")
            while again.replayed:  # until the scenario's time is over
                again = await caller.modify(one, idempotency_key="k")
            task.cancel()

    run(scenario())
