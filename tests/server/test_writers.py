"""Writers of different records of one zone never conflict: there is no key that all of them read and write."""

from __future__ import annotations

import asyncio
from typing import Any

from recordlayer import RecordMetaDataBuilder, concat, count, field, sum_of
from recordlayer.aio import Database
from recordlayer.client.pb import types_pb2
from recordlayer.kv.registry import open_engine
from recordlayer.observe.events import ConflictMet
from recordlayer.world import World
from recordlayer_server.places import DEVELOPMENT
from tests.support.assets import Keeper, asset
from tests.support.photos import descriptor_set
from tests.support.recording import Recording
from tests.support.service import Caller, calling, operation, photos, record_name, run, value

WRITERS, ROUNDS = 6, 8


def described() -> bytes:
    """Photos with indexes of the types whose entries of different records are different keys, or atomic counters. Here
    as in Java, those of RANK indexes are not, nor those of words that records share."""
    return (
        RecordMetaDataBuilder.from_descriptor_set(descriptor_set(), file="photos.proto")
        .primary_key("Photo", field("title"))
        .primary_key("Album", field("name"))
        .index("Photo", "by_rating", "rating")
        .index("Photo", "by_tag", field("tags").fan_out())
        .index("Photo", "by_kind", concat("kind", "rating"))
        .index("Photo", "kinds", count(group_by="kind"))
        .index("Photo", "rating_by_kind", sum_of("rating", group_by="kind"))
        .index("Album", "by_code", "code", unique=True)
        .build()
        .to_bytes()
    )


async def writes(caller: Caller, number: int) -> None:
    """Records of one writer: made, changed in every way, deleted; all writers refer to one album and one asset."""
    album = types_pb2.Reference(action="VALIDATE", target=record_name("album", "z"))
    follows = types_pb2.Reference(action="DELETE_SELF", target=record_name("album", "z"))
    for turn in range(ROUNDS):
        name = f"{number}-{turn}"
        said: dict[str, Any] = {"rating": turn, "tags": ["a", name], "image": asset("a")}
        made = operation("CREATE", name, zone="z", **said)
        made.record.fields.fields["album"].reference_value.CopyFrom(album if turn % 2 else follows)
        await caller.modify(made, operation("CREATE", f"of {name}", zone="z", record_type="Album", code=name))
        changed = operation("FORCE_UPDATE", name, zone="z", rating=turn + 1, image=None)
        await caller.modify(changed, idempotency_key=name)
        await caller.modify(operation("FORCE_REPLACE", name, zone="z", prints=value([asset("a")])))
        if turn % 2:
            await caller.modify(operation("FORCE_DELETE", name, zone="z"))


def test_writers_of_different_records_do_not_conflict() -> None:
    conflicts = Recording(ConflictMet)

    async def scenario() -> None:
        database = Database(open_engine("memory:"), world=World(), observer=conflicts)
        async with photos(database=database) as (server, databases), calling(server) as channel:
            await databases.put_container("shared", described(), DEVELOPMENT)
            caller = Caller(channel, container="shared")
            await caller.zone("z")
            await caller.create("album", zone="z", record_type="Album")
            await Keeper(caller).upload("a", b"a", zone="z")
            await writes(caller, 99)  # what is made once, with the first records, is there
            conflicts.events.clear()
            async with asyncio.TaskGroup() as group:
                for number in range(WRITERS):
                    group.create_task(writes(caller, number))
            assert conflicts.events == []
            names = await caller.names(zone=types_pb2.ZoneName(name="z"))
            assert len(names) == (WRITERS + 1) * ROUNDS // 2
            # The same in one record: sooner or later they meet, so they would have been seen above.
            for _ in range(50):
                async with asyncio.TaskGroup() as group:
                    for turn in range(20):
                        group.create_task(caller.modify(operation("FORCE_UPDATE", "same", zone="z", rating=turn)))
                if conflicts.events:
                    break
            assert conflicts.events != []

    run(scenario())
