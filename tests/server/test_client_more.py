"""What the Python client does beyond single calls: parts of records, streams, transactions, and the changes of a
database; over both facades, against a server in a process of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from recordlayer import q
from recordlayer.client.aio import bulk
from recordlayer.client.blocking import Delete, Save, Update
from recordlayer.client.blocking import bulk as blocking_bulk
from recordlayer.client.testing.fake import FakeServer
from recordlayer.client.transforms import add_to_list, increment, maximum, minimum, remove_from_list, server_time
from recordlayer.errors import CallRefused, ChangeTagStale, Closed, RecordExists, UsageError
from tests.support.clients import Photo, connected

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"

pytestmark = pytest.mark.parametrize("facade", ["asyncio", "blocking"])


@pytest.fixture
def client(facade: str, photo_server: FakeServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    with connected(facade, photo_server.url, user=request.node.name) as connection:
        yield connection


def test_fields_of_a_record_are_changed_by_what_they_hold_and_read_alone(facade: str, client: Any) -> None:
    zone = client.zone()
    first = zone.save(Photo(title="a", caption="c", rating=1, tags=["x", "y"]), name="p")
    second = zone.update(
        Photo(title="b"),
        name="p",
        change_tag=first.change_tag,
        transforms=[
            increment("views", 2),
            minimum("rating", 0),
            maximum("ratio", 1.5),
            add_to_list("tags", ["y", "z"]),
            remove_from_list("tags", ["x"]),
            server_time("taken"),
        ],
    )
    photo = second.message
    assert (photo.title, photo.caption, photo.rating, photo.views, photo.ratio) == ("b", "c", 0, 2, 1.5)
    assert list(photo.tags) == ["y", "z"]
    assert photo.taken.seconds > 1_700_000_000
    with pytest.raises(ChangeTagStale):
        zone.update(Photo(title="c"), name="p", change_tag=first.change_tag)
    third = zone.update(Photo(title="d"), name="p", fields=["title", "caption"])
    assert not third.message.HasField("caption"), "it is named, and not set"
    assert third.message.views == 2
    made, changed = zone.modify(
        [Update(Photo(title="new"), "n"), Update(Photo(), "p", transforms=[increment("views")])], atomic=False
    )
    assert (made.message.title, changed.message.views) == ("new", 3)
    part = zone.load(Photo, "p", fields=["title"])
    assert part.message == Photo(title="d")
    assert [one.message for one in zone.query(Photo, q.title == "d", fields=["views"])] == [Photo(views=3)]
    assert {one.message.title for one in zone.stream(Photo, fields=["title"])} == {"d", "new"}
    with pytest.raises(UsageError):
        Update(Photo(), "p", fields=[])
    with pytest.raises(UsageError):
        Update(Photo(), "")


def test_many_records_go_and_come_on_streams_and_large_ones_in_chunks(
    facade: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 20_000 if LONG else 300
    for module in (bulk, blocking_bulk):
        monkeypatch.setattr(module, "BATCH_BYTES", 20_000)
    zone = client.zone()
    large = b"x" * 100_000
    edits = [Save(Photo(title=f"t{number}", rating=number), f"p{number:03}") for number in range(many)]
    edits[7] = Save(Photo(title="large", hash=large, rating=7), "p007")
    edits += [Delete("p001"), Save(Photo(title="twice"), "p002"), Save(Photo(title="x"), "p003", create=True)]
    edits += [Delete("p002"), Save(Photo(title="made"))]
    outcomes = list(zone.modify_stream(iter(edits), batch=20))
    assert len(outcomes) == len(edits)
    assert [one.name for one in outcomes[:many]] == [f"p{number:03}" for number in range(many)]
    assert outcomes[many] is None
    assert isinstance(outcomes[many + 2], RecordExists)
    assert outcomes[many + 4].name
    found = {one.name: one for one in zone.stream(Photo)}
    assert len(found) == many - 1
    assert found["p007"].message.hash == large
    assert found["p005"].change_tag == outcomes[5].change_tag
    last = [one.message.rating for one in zone.stream(Photo, q.rating >= many - 10, sort=["-rating"])]
    assert last == list(range(many - 1, many - 11, -1))
    with pytest.raises(UsageError):
        list(zone.modify_stream([], batch=0))
    with pytest.raises(CallRefused) as refused:
        list(zone.stream(Photo, sort=["views"]))
    assert refused.value.reason == "INDEX_REQUIRED"


def test_a_transaction_commits_as_a_whole_or_is_begun_again(facade: str, client: Any) -> None:
    client.create_zone("z")
    with client.transaction() as tx:
        saved = tx.zone("z").save(Photo(title="a", rating=1), name="p", create=True)
        assert tx.zone("z").load(Photo, "p").message.title == "a"
        assert client.zone("z").load(Photo, "p") is None, "nobody else sees it"
        assert [one.name for one in tx.zone("z").query(Photo, q.rating == 1)] == ["p"]
        counted = tx.zone().update(Photo(), name="count", transforms=[increment("views", 5)])
        assert counted.message.views == 5
    there = client.zone("z").load(Photo, "p")
    assert there.change_tag == tx.change_tags["z", "p"] != saved.change_tag
    with pytest.raises(Closed):
        tx.zone("z").load(Photo, "p")

    def undone(name: str) -> None:
        with client.transaction() as tx:
            tx.zone("z").delete("p")
            tx.zone().save(Photo(title="b"), name=name, create=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone("new")
    with pytest.raises(RecordExists):
        undone("count")
    assert client.zone("z").load(Photo, "p") is not None

    overtaken = []

    def work(tx: Any) -> int:
        found = tx.zone("z").load(Photo, "p")
        if not overtaken:
            overtaken.append(client.zone("z").update(Photo(rating=7), name="p"))
        found.message.rating += 1
        tx.zone("z").save(found.message, name="p")
        return int(found.message.rating)

    assert client.run(work) == 8, "it was begun again: somebody had changed what it read"
    assert client.zone("z").load(Photo, "p").message.rating == 8

    with client.transaction(key="once") as tx:
        tx.zone().update(Photo(), name="count", transforms=[increment("views")])
    with client.transaction(key="once") as tx:
        assert tx.replayed
    assert client.zone().load(Photo, "count").message.views == 6
    with pytest.raises(UsageError), client.transaction(read_only=True) as tx:
        tx.zone().delete("count")


def test_the_changes_of_a_database_and_of_a_zone_are_told_with_what_they_hold(facade: str, client: Any) -> None:
    for name in ("y", "z"):
        client.create_zone(name)
    page = client.changes()
    while page.more_coming:
        page = client.changes(page.token)
    client.zone("z").save(Photo(title="a"), name="p")
    client.delete_zone("y")
    page = client.changes(page.token)
    assert ("z" in page.changed, page.deleted) == (True, ["y"])

    client.zone("z").save(Photo(title="b", caption="c"), name="o")
    pages = iter(client.zone("z").follow(kinds=[Photo], fields=["title"]))
    told: dict[str, str] = {}
    token = b""
    while True:
        page = next(pages)
        told.update({one.name.name: Photo.FromString(one.message) for one in page.records})
        token = page.token
        if not page.more_coming:
            break
    assert told == {"p": Photo(title="a"), "o": Photo(title="b")}
    client.zone("z").delete("p")
    page = next(one for one in pages if one.records)
    assert [(one.name.name, one.deleted) for one in page.records] == [("p", True)]
    client.delete_zone("z")
    client.create_zone("z")
    page = next(one for one in iter(client.zone("z").follow(token)) if not one.records)
    assert page.reset


class Cut:
    """A method whose stream breaks off behind some replies, the first times that it is called."""

    def __init__(self, method: Any, replies: int, times: int) -> None:
        self._method = method
        self._replies = replies
        self.left = times
        self.continuations: list[bytes] = []

    def __call__(self, *request: Any, **said: Any) -> Any:
        self.continuations += [one.continuation for one in request if hasattr(one, "continuation")]
        call = self._method(*request, **said)
        self.left -= 1
        return call if self.left < 0 else BrokenOff(call, self._replies)


class BrokenOff:
    """A call of either facade that gives some replies, and then UNAVAILABLE from nobody."""

    def __init__(self, call: Any, replies: int) -> None:
        self._call = call
        self._left = replies

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def _break(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata())

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        reply = next(self._call)
        self._break()
        return reply

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for reply in self._call:
            self._break()
            yield reply

    async def read(self) -> Any:
        reply = await self._call.read()
        self._break()
        return reply


def test_streams_that_are_cut_go_on_where_they_were_and_change_nothing_twice(facade: str, client: Any) -> None:
    zone = client.zone()
    stubs = getattr(client, "_wrapped", client).records
    names = [f"p{number:03}" for number in range(100)]
    changing = stubs.ModifyStream = Cut(stubs.ModifyStream, 2, times=3)
    photo = Photo(title="t", hash=b"x" * 100_000)
    counting = (Update(photo, name, transforms=[increment("views")]) for name in names)
    assert [one.name for one in zone.modify_stream(counting, batch=7)] == names
    reading = stubs.QueryStream = Cut(stubs.QueryStream, 1, times=2)
    found = list(zone.stream(Photo, fields=["views", "hash"]))
    assert [one.name for one in found] == names
    assert {one.message.views for one in found} == {1}
    assert (changing.left, reading.left) == (-1, -1)
    assert len(set(reading.continuations)) == 3, "it went on at another place each time"
