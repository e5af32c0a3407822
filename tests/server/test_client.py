"""The Python client against a server on a port: typed records, errors, and retries as the service says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import descriptor_pool, duration_pb2, message_factory, struct_pb2, timestamp_pb2
from google.rpc import code_pb2

from recordlayer.client.aio import Client, connect
from recordlayer.client.pb import types_pb2
from recordlayer.errors import CallRefused, ChangeTagStale, RecordExists, UsageError
from recordlayer_server.statuses import Refusal, refusal, trailing
from tests.support.photos import CONTAINER, photos_file
from tests.support.service import photos, run


def test_records_are_saved_loaded_queried_and_deleted_as_messages() -> None:
    pool = descriptor_pool.DescriptorPool()  # not the one of the process: other tests have the same names
    for module in (duration_pb2, timestamp_pb2, struct_pb2, types_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(photos_file().SerializeToString())
    Photo: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("photos.Photo"))

    async def scenario() -> None:
        async with photos() as (server, _), connect(f"grpc://{server.address}", container=CONTAINER) as client:
            zone = client.zone()
            first = await zone.save(Photo(title="a"), name="p", create=True)
            with pytest.raises(RecordExists):
                await zone.save(Photo(title="b"), name="p", create=True)
            second = await zone.save(Photo(title="b"), name="p", change_tag=first.change_tag)
            with pytest.raises(ChangeTagStale) as stale:
                await zone.save(Photo(title="c"), name="p", change_tag=first.change_tag)
            assert stale.value.server_record.change_tag == second.change_tag
            with pytest.raises(UsageError):
                await zone.save(Photo(title="c"), change_tag=second.change_tag)
            found = await zone.load(Photo, "p")
            assert found is not None
            assert (found.message.title, found.change_tag) == ("b", second.change_tag)
            assert [one.name async for one in zone.query(Photo)] == ["p"]
            await zone.delete("p", change_tag=second.change_tag)
            assert await zone.load(Photo, "p") is None

    run(scenario())


class Scripted:
    """A method that fails in the ways it is told, one after the other, and then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self, request: object, **_: object) -> object:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return request


def failed(code: Any, status: Refusal | None = None) -> Exception:
    import grpc
    from grpc.aio import AioRpcError, Metadata

    told = Metadata() if status is None else Metadata(trailing(status.status))
    return AioRpcError(getattr(grpc.StatusCode, code), Metadata(), told, details="")


def client(timeout: float = 30) -> Client:
    return connect("grpc://127.0.0.1:1", container="c", timeout=timedelta(seconds=timeout))


def test_a_call_is_tried_again_only_where_the_service_says_so_or_nobody_answered() -> None:
    again = refusal(code_pb2.ABORTED, "CONTENTION", "", retry=0.001)
    never = refusal(code_pb2.UNAVAILABLE, "STALE_METADATA", "")

    async def scenario() -> None:
        async with client() as one:
            passing = Scripted(failed("ABORTED", again), failed("UNAVAILABLE"), failed("CANCELLED"))
            assert await one.call(passing, "request") == "request"
            assert passing.calls == 4
            final = Scripted(failed("UNAVAILABLE", never))
            with pytest.raises(CallRefused) as refused:
                await one.call(final, "request")
            assert (refused.value.reason, final.calls) == ("STALE_METADATA", 1)
            endless = Scripted(*[failed("ABORTED", again)] * 50)
            with pytest.raises(CallRefused):
                await one.call(endless, "request")
            assert endless.calls < 12, "the budget is shared with the calls before"
        async with client(timeout=1) as hasty:
            late = Scripted(failed("ABORTED", refusal(code_pb2.ABORTED, "CONTENTION", "", retry=60)))
            with pytest.raises(CallRefused):
                await hasty.call(late, "request")
            assert late.calls == 1, "the delay would end behind the deadline"

    run(scenario())


@pytest.mark.parametrize("url", ["grpc://example.com:1", "http://127.0.0.1:1", "grpc://127.0.0.1"])
def test_an_address_that_is_not_safe_or_not_whole_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        connect(url, container="c")
