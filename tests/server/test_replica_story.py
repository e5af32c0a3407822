"""A replica of a zone as a program sees it, over both facades: offline, restarted, in conflict with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from recordlayer import q
from recordlayer.client import aio, blocking
from recordlayer.client.merging import keep_theirs
from recordlayer.client.testing.fake import FakeServer, fake
from recordlayer.errors import CallRefused, NoAnswer, UsageError
from tests.support.clients import Album, Photo, connected
from tests.support.facades import BackgroundLoop, Blocking, opener
from tests.support.photos import CONTAINER, description

FACADES = pytest.mark.parametrize("facade", ["asyncio", "blocking"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeServer]:
    with fake({CONTAINER: description()}, db=f"file:{tmp_path_factory.mktemp('server') / 'photos.rl'}") as started:
        yield started


class Machine:
    """A machine with a connection and a local database, called as the blocking facade is."""

    def __init__(self, client: Any, hasty: Any, open_local: Callable[[], Any], replicas: Any) -> None:
        self.client = client
        self._hasty = hasty
        self.local = open_local()
        self._open_local = open_local
        self._replicas = replicas

    def restart(self) -> None:
        self.local.close()
        self.local = self._open_local()

    def replica(self, zone: str = "", kinds: Sequence[Any] = (Photo,), **said: Any) -> Any:
        return self._replicas.open(self.client.zone(zone), self.local, kinds, **said)

    def sync_in_vain(self) -> None:
        """Ask a server that is not there, and do not wait long for it."""
        with pytest.raises(NoAnswer):
            self._replicas.open(self._hasty.zone(), self.local, [Photo]).sync()


@pytest.fixture
def machine(facade: str, request: pytest.FixtureRequest, server: FakeServer, tmp_path: Path) -> Iterator[Any]:
    """Makes machines of one user, whose databases are in files; those that are hasty ask where nobody is."""
    with ExitStack() as stack:
        loop = BackgroundLoop()
        stack.callback(loop.close)
        replicas = Blocking(aio.Replica, loop) if facade == "asyncio" else blocking.Replica

        def machine(name: str) -> Machine:
            client, hasty = (
                stack.enter_context(
                    connected(facade, url, loop=loop, user=request.node.name, timeout=timedelta(seconds=seconds))
                )
                for url, seconds in ((server.url, 60), ("grpc://127.0.0.1:1", 0.1))
            )
            open_local = partial(opener(facade, loop), f"file:{tmp_path / name}.rl")
            made = Machine(client, hasty, open_local, replicas)
            stack.callback(lambda: made.local.close())
            return made

        yield machine


def titles(replica: Any, *args: Any, **said: Any) -> dict[str, str]:
    return {one.name: one.message.title for one in replica.query(Photo, *args, **said)}


@FACADES
def test_changes_made_offline_outlive_a_restart_and_are_merged_with_those_of_others(facade: str, machine: Any) -> None:
    phone, laptop = machine("phone"), machine("laptop")
    mine, theirs = phone.replica(), laptop.replica(resolve=keep_theirs)
    mine.save(Photo(title="a", caption="c", tags=["x"]), "p")
    mine.save(Photo(title="b", rating=1), "gone")
    made = mine.save(Photo(title="c", rating=2))
    assert mine.sync().pushed == 3
    assert theirs.sync().pulled == 3
    assert titles(theirs) == titles(mine) == {"p": "a", "gone": "b", made: "c"}
    assert list(titles(mine, q.rating >= 1, sort=["-rating"])) == [made, "gone"]
    assert titles(mine, (q.title == "a") | (q["$name"] == "gone")) == {"p": "a", "gone": "b"}

    mine.save(Photo(title="mine", caption="c", tags=["x", "m"]), "p")
    mine.save(Photo(title="again", caption="c", tags=["x", "m"]), "p")
    mine.delete("gone")
    phone.sync_in_vain()
    mine.save(Photo(title="behind", caption="c", tags=["x", "m"]), "p")
    new = mine.save(Photo(title="new"))
    phone.restart()
    mine = phone.replica(indexes={Photo: ["rating"]})
    assert titles(mine) == {"p": "behind", new: "new"}, "other indexes: all else is told again"
    assert [one.name for one in mine.waiting()] == ["p", "gone", new], "one edit of each record"

    theirs.save(Photo(title="theirs", caption="d", tags=["t", "x"]), "p")
    assert theirs.sync().pushed == 1
    synced = mine.sync()
    assert [(name, one.path) for name, one in synced.conflicts] == [("p", "title")] * len(synced.conflicts)
    assert synced.conflicts
    assert mine.waiting() == []
    theirs.sync()
    assert titles(theirs) == titles(mine) == {"p": "behind", made: "c", new: "new"}
    merged = theirs.load(Photo, "p")
    assert (merged.message.caption, list(merged.message.tags)) == ("d", ["t", "x", "m"])
    assert merged.change_tag == mine.load(Photo, "p").change_tag
    assert mine.sync().pushed == 0


@FACADES
def test_a_record_that_one_deletes_and_another_edits_stays_and_what_both_delete_is_gone(
    facade: str, machine: Any
) -> None:
    replicas = [machine(name).replica() for name in ("one", "two")]
    one, two = replicas
    for name in ("edited", "deleted", "both", "same"):
        one.save(Photo(title="t", rating=1), name)
    one.sync(), two.sync()
    one.delete("edited")
    one.save(Photo(title="new", rating=1), "deleted")
    one.delete("both")
    one.save(Photo(title="same", rating=1), "same")
    two.save(Photo(title="t", rating=2), "edited")
    two.delete("deleted")
    two.delete("both")
    two.save(Photo(title="same", rating=1), "same")
    one.sync()
    assert {name for name, _ in two.sync().conflicts} == {"edited", "deleted"}
    one.sync()
    assert titles(one) == titles(two) == {"edited": "t", "deleted": "new", "same": "same"}
    assert one.load(Photo, "edited").message.rating == 2
    one.save(Photo(title="back"), "same")
    one.save(Photo(title="same", rating=1), "same")
    assert one.waiting() == [], "back to what it was"
    one.save(Photo(title="x"), "same")
    assert one.revert("same")
    assert not one.revert("same")
    assert titles(one) == titles(two)


@FACADES
def test_a_zone_that_goes_takes_what_is_not_edited_along_and_edits_wait_for_the_next(facade: str, machine: Any) -> None:
    phone = machine("phone")
    phone.client.create_zone("z")
    replica, other = phone.replica("z"), phone.replica("z", path=("another",))
    for name in ("kept", "gone"):
        replica.save(Photo(title=name), name)
    replica.sync(), other.sync()
    phone.client.delete_zone("z")
    replica.save(Photo(title="edited"), "kept")
    assert replica.sync().missing
    assert titles(replica) == {"kept": "edited"}
    assert [one.name for one in replica.waiting()] == ["kept"]
    phone.client.create_zone("z")
    assert replica.sync().pushed == 1
    assert other.sync().anew
    assert titles(other) == titles(replica) == {"kept": "edited"}


@FACADES
def test_what_the_server_will_not_have_waits_with_the_reason_and_holds_up_nothing(facade: str, machine: Any) -> None:
    phone = machine("phone")
    replica = phone.replica(kinds=[Photo, Album])
    phone.client.zone().save(Album(name="a", code="1"), name="first")
    replica.save(Album(name="b", code="1"), "second")
    replica.save(Photo(title="t"), "photo")
    synced = replica.sync()
    assert (synced.refused, synced.pushed) == (["second"], 1)
    [waiting] = replica.waiting()
    assert waiting.refused.startswith("UNIQUE")
    assert waiting.message == Album(name="b", code="1")
    assert replica.sync().refused == [], "it is not asked again and again"
    replica.save(Album(name="b", code="2"), "second")
    assert replica.sync().pushed == 1
    assert {one.name for one in replica.query(Album)} == {"first", "second"}
    with pytest.raises(UsageError):
        replica.load(Photo, "second")
    only_photos = phone.replica(path=("photos",))
    only_photos.save(Photo(title="t"), "first")
    assert only_photos.sync().refused == ["first"]
    with pytest.raises(UsageError):
        only_photos.save(Album(name="c"))


@FACADES
def test_following_tells_of_each_change_and_goes_on_when_the_server_is_back(
    facade: str, machine: Any, server: FakeServer
) -> None:
    phone, laptop = machine("phone"), machine("laptop")
    followed, replica = phone.replica(), laptop.replica()
    told = iter(followed.follow())
    assert next(told).pulled == 0
    replica.save(Photo(title="a"), "p")
    replica.sync()
    while titles(followed) != {"p": "a"}:
        next(told)
    server.stop()
    server.start()
    followed.save(Photo(title="f"), "followed")
    replica.save(Photo(title="b"), "p")
    replica.sync()
    while titles(followed) != {"p": "b", "followed": "f"} or followed.waiting():
        next(told)
    replica.sync()
    assert titles(replica) == titles(followed)


@FACADES
def test_a_replica_is_opened_for_types_that_fit_together(facade: str, machine: Any) -> None:
    phone = machine("phone")
    with pytest.raises(UsageError):
        phone.replica(kinds=[])
    with pytest.raises(UsageError):
        phone.replica(indexes={Album: ["name"]})
    replica = phone.replica("never")
    with pytest.raises(UsageError):
        list(replica.query(Album))
    assert replica.sync().missing
    with pytest.raises(CallRefused):
        phone.replica("$wrong").sync()
