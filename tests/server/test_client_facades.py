"""The Python client, asyncio and blocking, against a server in a process of its own."""

from __future__ import annotations

import pytest

from recordlayer import q
from recordlayer.client.blocking import Delete, Loaded, Save
from recordlayer.client.testing.fake import FakeServer
from recordlayer.errors import CallRefused, ChangeTagStale, RecordExists, UsageError
from tests.support.clients import Photo, connected


@pytest.fixture
def address(photo_server: FakeServer) -> str:
    return photo_server.url


@pytest.mark.parametrize("facade", ["asyncio", "blocking"])
def test_records_are_modified_queried_counted_and_explained(facade: str, address: str) -> None:
    with connected(facade, address, user=facade) as client:
        zone = client.create_zone("z")
        photos = [Photo(title=f"t{number}", rating=number % 5, kind=0) for number in range(20)]
        saved = zone.modify([Save(photo, f"p{number:02}", create=True) for number, photo in enumerate(photos)])
        assert [(one.name, one.message) for one in saved] == [(f"p{n:02}", photos[n]) for n in range(20)]

        batch = [Save(Photo(title="new"), "p01", create=True), Delete("p00"), Save(Photo(title="made"), "more")]
        with pytest.raises(RecordExists) as exists:
            zone.modify(batch)
        assert exists.value.fields["operation"] == 0
        assert exists.value.fields["undone"] == 2
        assert zone.load(Photo, "p00") is not None, "nothing of the batch was applied"
        there, gone, made = zone.modify(batch, atomic=False)
        assert isinstance(there, RecordExists)
        assert gone is None
        assert isinstance(made, Loaded)
        assert zone.load_many(Photo, ["p00", "more"]).keys() == {"more"}
        stale = zone.save(Photo(title="a"), name="more", change_tag=made.change_tag)
        with pytest.raises(ChangeTagStale):
            zone.delete("more", change_tag=made.change_tag)
        zone.delete("more", change_tag=stale.change_tag)

        high = (q.rating >= 3) & ~(q.title == "t4")
        found = [one.name for one in zone.query(Photo, high, sort=["-rating"], page=2)]
        assert sorted(found) == ["p03", "p08", "p09", "p13", "p14", "p18", "p19"]
        assert found[:3] == sorted(["p09", "p14", "p19"], reverse=True)
        assert zone.aggregate(Photo, "SUM", "rating", group={"kind": "PICTURE"}) == 40
        assert zone.aggregate(Photo, "COUNT", where=high) == 7
        assert "by_rating" in zone.explain(Photo, high).indexes
        with pytest.raises(CallRefused) as refused:
            list(zone.query(Photo, sort=["views"]))
        assert refused.value.reason == "INDEX_REQUIRED"
        with pytest.raises(UsageError):
            zone.aggregate(Photo, "MEDIAN", "rating")

        assert client.zone_names() == ["", "z"]
        assert client.database(user="nobody").zone().load(Photo, "p01") is None
        client.delete_zone("z")
        assert client.zone_names() == [""]


@pytest.mark.parametrize("facade", ["asyncio", "blocking"])
def test_changes_are_paged_and_a_watch_tells_of_them(facade: str, address: str) -> None:
    with connected(facade, address, user=f"{facade}-watch") as client:
        zone = client.zone()
        for number in range(5):
            zone.save(Photo(title="t"), name=f"p{number}")
        token, names, more = b"", [], True
        while more:
            page = zone.changes(token, limit=2)
            names += [record.name.name for record in page.records]
            token, more = page.token, page.more_coming
        assert names == [f"p{number}" for number in range(5)]
        words = iter(zone.watch(token))
        assert next(words) == "current"
        zone.delete("p1")
        assert next(words) == "changed"
        (gone,) = zone.changes(token).records
        assert (gone.name.name, gone.deleted) == ("p1", True)


@pytest.mark.parametrize("facade", ["asyncio", "blocking"])
def test_a_record_larger_than_a_message_is_refused_with_a_reason(facade: str, address: str) -> None:
    with connected(facade, address, user=f"{facade}-large") as client, pytest.raises(CallRefused) as refused:
        client.zone().save(Photo(title="t", caption="x" * 5_000_000), name="p")
    assert refused.value.reason
