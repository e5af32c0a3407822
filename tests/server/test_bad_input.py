"""Every method with requests that are malformed, huge, foreign or hostile: a typed status; the server stays well.

The short form runs in seconds; RECORDLAYER_LONG_TESTS=1 asks thousands of times.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import os
import pkgutil
import random
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.message import Message
from grpc import aio as grpc_aio
from hypothesis import given, settings
from hypothesis import strategies as st

from recordlayer.client import pb
from recordlayer.client.pb import context_pb2, filter_pb2, records_pb2, types_pb2
from recordlayer.errors import RecordLayerError, SchemaError
from recordlayer.pb import record_metadata_pb2
from recordlayer_server import schema
from recordlayer_server.security.authority import RIGHTS
from tests.support.admin import Operator
from tests.support.photos import CONTAINER, description, descriptor_set, photos_file
from tests.support.service import (
    SERVING,
    Caller,
    calling,
    health,
    operation,
    photos,
    reason,
    run,
    status_of,
    where,
)

LONG = os.environ.get("RECORDLAYER_LONG_TESTS") == "1"
SECRET = "what only bo may see"

FINE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.OUT_OF_RANGE,
}
"""Codes that say what was wrong; INTERNAL, UNKNOWN and DATA_LOSS would say that something is broken."""

FILES = [
    importlib.import_module(f"{pb.__name__}.{one.name}").DESCRIPTOR
    for one in pkgutil.iter_modules(pb.__path__)
    if one.name.endswith("_pb2")
]
METHODS: dict[str, Any] = {
    f"{service.name}/{method.name}": method
    for file in FILES
    if file.package == "recordlayer.v1"
    for service in file.services_by_name.values()
    for method in service.methods
}
"""Every method of every service, as the package has it: nobody can forget one."""

UNENDING = {
    "Sync/Watch",
    "Subscriptions/Receive",
    "Admin/WaitOperation",
    "Admin/CancelOperation",
    "Admin/PauseOperation",
}
"""They go on, or wait, for as long as the caller listens: this one hangs up when nothing comes any more."""
PATIENCE = 0.1

FIELDS = ["title", "rating", "tags", "place", "camera.make", "lenses.model", "labels", "taken", "album", "kind", "hash"]
TEXTS = ["", "a", "p0", "\0", "x" * 300, "x" * 20_000, "$name", "$", "recordlayer_system", "recordlayer_system.zone"]
TEXTS += ["..", "camera.", "\U0001f600", "Photo", "Album", "bo", CONTAINER, "%s", "' or 1=1", "a.b.c.d.e", *FIELDS]
WHOLE = [0, 1, -1, 2, 100, 255, (1 << 31) - 1, -(1 << 31), (1 << 63) - 1, -(1 << 63)]
REAL = [0.0, 1.5, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324]


def hostile(cls: type[Any], chance: random.Random, depth: int = 0) -> Any:
    """A message of a class, filled at random with what nobody should send."""
    made = cls()
    for field in cls.DESCRIPTOR.fields:
        if chance.random() < (0.35 if depth else 0.6):
            number = chance.choice([1, 1, 2, 5]) if field.is_repeated else 1
            for _ in range(number):
                _fill(made, field, chance, depth)
    return made


def _fill(made: Any, field: Any, chance: random.Random, depth: int) -> None:
    if field.message_type is not None:
        if depth > 6:
            return
        if field.message_type.GetOptions().map_entry:
            key = chance.choice(TEXTS)
            entry = field.message_type.fields_by_name["value"]
            if entry.message_type is None:
                getattr(made, field.name)[key] = chance.choice(TEXTS)
            else:
                value = hostile(entry.message_type._concrete_class, chance, depth + 1)
                getattr(made, field.name)[key].CopyFrom(value)
            return
        inner = hostile(field.message_type._concrete_class, chance, depth + 1)
        if field.is_repeated:
            getattr(made, field.name).append(inner)
        else:
            getattr(made, field.name).CopyFrom(inner)
        return
    held = _scalar(field, chance)
    if field.is_repeated:
        getattr(made, field.name).append(held)
    else:
        setattr(made, field.name, held)


def _scalar(field: Any, chance: random.Random) -> Any:
    if field.enum_type is not None:
        return chance.choice([*field.enum_type.values_by_number, 77, -1, (1 << 31) - 1])
    if field.cpp_type == field.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return chance.choice(REAL)
    if field.type == field.TYPE_BYTES:
        return chance.choice([b"", b"\0", chance.randbytes(12), chance.randbytes(60), bytes(5_000)])
    if field.cpp_type == field.CPPTYPE_STRING:
        return chance.choice(TEXTS)
    return chance.choice([one for one in WHOLE if field.cpp_type != field.CPPTYPE_INT32 or abs(one) < 1 << 31])


def aimed(message: Any, chance: random.Random) -> Any:
    """The same, mostly about a container and a database that are there: else nothing would come past the door."""
    context = message.query.context if hasattr(message, "query") else getattr(message, "context", None)
    if context is None:
        return message
    if chance.random() < 0.85:
        context.CopyFrom(context_pb2.RequestContext(container=CONTAINER))
        if chance.random() < 0.8:
            context.database.scope, context.database.user = context_pb2.Database.PRIVATE, "ana"
    elif context.container == CONTAINER and context.database.user == "bo":
        context.database.user = "by chance"  # who says all of it may do it, and it is not what is tested here
    return message


def judge(error: grpc_aio.AioRpcError) -> None:
    """A refusal says what was wrong, and nothing about the server or about others."""
    assert error.code() in FINE, error
    details = error.details() or ""
    assert "Traceback" not in details
    assert 'File "' not in details
    assert SECRET not in str(status_of(error))
    assert len(details) < 5_000
    assert reason(error)


async def shoot(channel: grpc_aio.Channel, method: str, data: bytes | list[bytes]) -> None:
    """Send bytes to a method; whatever is answered is judged."""
    kind, path = METHODS[method], f"/recordlayer.v1.{method}"
    asked = "stream" if kind.client_streaming else "unary"
    answered = "stream" if kind.server_streaming else "unary"
    sent = data if isinstance(data, list) or asked == "unary" else [data]
    call = getattr(channel, f"{asked}_{answered}")(path)(iter(sent) if asked == "stream" else sent)
    try:
        async with asyncio.timeout(30):
            async for answer in _answers(call, is_stream=answered == "stream", unending=method in UNENDING):
                assert SECRET.encode() not in answer
    except grpc_aio.AioRpcError as error:
        if asked == "stream" and error.details() == "Internal error from Core":
            return  # grpc.aio's client says so when a call ends while it sends; the server has no such words
        judge(error)


async def _answers(call: Any, *, is_stream: bool, unending: bool) -> AsyncIterator[bytes]:
    """What comes, until it ends, or nothing comes any more of what has no end."""
    patience = PATIENCE if unending else None
    try:
        if not is_stream:
            async with asyncio.timeout(patience):
                yield await call
            return
        while True:
            async with asyncio.timeout(patience):
                answer = await call.read()
            if answer is grpc_aio.EOF:
                return
            yield answer
    except TimeoutError:
        if not unending:
            raise
        call.cancel()


async def attacked(channel: grpc_aio.Channel) -> None:
    bo = Caller(channel, user="bo")
    await bo.create("p0", title=SECRET, tags=["a"])
    ana = Caller(channel, user="ana")
    await ana.create("p0", title="a", rating=1, tags=["a"], place=(1.0, 2.0))


async def is_well(channel: grpc_aio.Channel) -> None:
    assert await health(channel) == SERVING
    bo = Caller(channel, user="bo")
    assert (await bo.lookup("p0"))[0].record.fields.fields["title"].string_value == SECRET
    assert await bo.names() == ["p0"]


@settings(max_examples=300 if LONG else 8, deadline=None)
@given(seed=st.integers(0, 1 << 63))
def test_hostile_requests_are_refused_by_every_method(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        async with photos() as (server, _), calling(server) as channel:
            await attacked(channel)
            for _ in range(4):
                for method in METHODS:
                    await shoot(channel, method, some_request(method, chance))
                await reopened(channel)
            await is_well(channel)

    run(scenario())


def some_request(method: str, chance: random.Random) -> bytes | list[bytes]:
    """What nobody should send; on a stream mostly behind a first message that opens it."""
    kind = METHODS[method]
    cls = message_factory.GetMessageClass(kind.input_type)
    if not kind.client_streaming:
        return bytes(aimed(hostile(cls, chance), chance).SerializeToString())
    messages = [hostile(cls, chance) for _ in range(chance.randrange(5))]
    if chance.random() < 0.8:
        opening = cls()
        first = opening.DESCRIPTOR.fields_by_name.get("open") or opening.DESCRIPTOR.fields_by_name["begin"]
        inner = message_factory.GetMessageClass(first.message_type)
        getattr(opening, first.name).CopyFrom(aimed(hostile(inner, chance), chance))
        messages.insert(0, opening)
    return [one.SerializeToString() for one in messages]


async def reopened(channel: grpc_aio.Channel) -> None:
    """Take away what an operator may have done to the databases that are aimed at: they shall be attacked again."""
    for user in ("", "ana"):
        operator = Operator(channel, user=user)
        with contextlib.suppress(grpc_aio.AioRpcError):  # NOT_FOUND: nothing was written to it yet
            await operator.ask("UnlockDatabase")


def test_every_method_is_attacked() -> None:
    """What is attacked is what a server serves."""
    assert {name.partition("/")[0] for name in METHODS} == {
        *("Records", "Zones", "Sync", "Schema", "Subscriptions", "Transactions", "Assets", "Admin", "Server"),
    }
    assert {f"/recordlayer.v1.{name}" for name in METHODS} == {*RIGHTS, "/recordlayer.v1.Server/GetServerInfo"}


@settings(max_examples=300 if LONG else 8, deadline=None)
@given(seed=st.integers(0, 1 << 63))
def test_bytes_that_are_no_message_are_refused_by_every_method(seed: int) -> None:
    async def scenario() -> None:
        chance = random.Random(seed)
        async with photos() as (server, _), calling(server) as channel:
            await attacked(channel)
            for method in METHODS:
                said = some_request(method, chance)
                first, others = (said[:1], said[1:]) if isinstance(said, list) else ([said], [])
                whole = bytearray(first[0] if first and first[0] else b"\x0a\x00")
                for _ in range(3):
                    whole[chance.randrange(len(whole))] = chance.randrange(256)
                for data in (chance.randbytes(chance.randrange(200)), bytes(whole), bytes(whole[: len(whole) // 2])):
                    await shoot(channel, method, [data, *others] if isinstance(said, list) else data)
                if isinstance(said, list):
                    await shoot(channel, method, [*first, b"\xff\xff\xff"])
            await reopened(channel)
            await is_well(channel)

    run(scenario())


def deep_filter(depth: int) -> filter_pb2.Filter:
    """not not not ... title = "a"."""
    made = where("title", "EQUALS", "a")
    for _ in range(depth):
        outer = filter_pb2.Filter()
        getattr(outer, "not").CopyFrom(made)
        made = outer
    return made


def wide_filter(width: int) -> filter_pb2.Filter:
    made = filter_pb2.Filter()
    made.any.filters.extend(where("title", "EQUALS", f"t{number}") for number in range(width))
    return made


def test_what_would_take_more_than_it_may_is_refused_before_it_takes_anything() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel, user="ana")
            await caller.create("p0", title="a")
            many = [types_pb2.Value(integer_value=number) for number in range(10_000)]
            listed = types_pb2.Value(list_value=types_pb2.ListValue(values=many))
            label = context_pb2.RequestContext()
            label.CopyFrom(caller.context)
            for number in range(100):
                label.labels[f"l{number}"] = "x"
            for call in (
                caller.query(deep_filter(30)),
                caller.query(wide_filter(5_000)),
                caller.query(where("rating", "IN", listed)),
                caller.query(sort=[filter_pb2.Sort(field="ratio")], sort_in_memory=10_000_000),
                caller.query(partition=b"x" * 1_000_000),
                caller.query(continuation=b"x" * 1_000_000),
                caller.query(desired_keys=types_pb2.DesiredKeys(fields=["a" * 10] * 10_000)),
                caller.query(desired_keys=types_pb2.DesiredKeys(fields=["a." * 10_000])),
                caller.lookup(*(f"n{number}" for number in range(10_000))),
                caller.modify(*(operation("FORCE_DELETE", f"n{number}") for number in range(10_000))),
                caller.records.Query(records_pb2.QueryRequest(context=label)),
                caller.modify(operation("CREATE", "n" * 256)),
                caller.zone("z" * 256),
                Caller(channel, user="u" * 256).lookup("a"),
                Caller(channel, container="c" * 256).lookup("a"),
            ):
                with pytest.raises(grpc_aio.AioRpcError) as caught:
                    await call
                judge(caught.value)
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert await caller.names() == ["p0"]

    run(scenario())


def test_messages_larger_than_the_limit_never_reach_a_handler() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                await caller.create("a", hash=bytes(5 << 20))
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            await caller.create("a")

    run(scenario())


def test_chunks_of_more_than_a_record_are_cut_off() -> None:
    async def endless(open_: records_pb2.ModifyStreamRequest) -> AsyncIterator[records_pb2.ModifyStreamRequest]:
        yield open_
        for _ in range(3):
            yield records_pb2.ModifyStreamRequest(chunk=bytes(500_000))
        await asyncio.Event().wait()  # it never says that it is done

    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            caller = Caller(channel)
            open_ = records_pb2.ModifyStreamRequest(open=records_pb2.ModifyStreamRequest.Open(context=caller.context))
            with pytest.raises(grpc_aio.AioRpcError) as caught:
                [reply async for reply in caller.records.ModifyStream(endless(open_))]
            assert reason(caught.value) == "BATCH_TOO_LARGE"
            await server.calls.idle()

    run(scenario())


def test_refusing_again_and_again_takes_no_more_memory() -> None:
    async def scenario() -> None:
        async with photos() as (server, _), calling(server) as channel:
            chance = random.Random(4)
            stranger = Caller(channel, container="com.example.strange")

            async def refuse(times: int) -> None:
                for number in range(times):
                    stranger.context.database.scope = context_pb2.Database.PRIVATE
                    stranger.context.database.user = f"u{chance.random()}"
                    stranger.context.container = CONTAINER if number % 2 else f"c{chance.random()}"
                    try:
                        await stranger.query(where(f"f{chance.random()}", "EQUALS", chance.random()))
                    except grpc_aio.AioRpcError as error:
                        judge(error)

            await refuse(100)
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await refuse(300)
            after, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert after - before < 1_000_000

    run(scenario())


# -- descriptors -----------------------------------------------------------------------------------------------------


def mutated(chance: random.Random) -> bytes:
    """A description with a few bytes of it changed, cut or doubled."""
    data = bytearray(chance.choice([description(), descriptor_set()]))
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at : at + chance.randrange(1, 40)]
        else:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
    return bytes(data)


@settings(max_examples=5_000 if LONG else 60, deadline=None)
@given(seed=st.integers(0, 1 << 63))
def test_a_description_that_was_damaged_is_taken_or_refused_in_words(seed: int) -> None:
    try:
        made = schema.derived(mutated(random.Random(seed)))
    except RecordLayerError:
        return
    assert made.record_types


def file_of(*messages: descriptor_pb2.DescriptorProto) -> bytes:
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", syntax="proto3", message_type=messages)
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def nested(depth: int) -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name="M")
    for _ in range(depth):
        message = descriptor_pb2.DescriptorProto(name="M", nested_type=[message])
    return message


def with_field(**said: Any) -> descriptor_pb2.DescriptorProto:
    kind = descriptor_pb2.FieldDescriptorProto
    message = descriptor_pb2.DescriptorProto(name="M")
    message.field.add(**{"name": "a", "number": 1, "type": kind.TYPE_STRING, "label": kind.LABEL_OPTIONAL, **said})
    return message


def enum_of(values: int) -> descriptor_pb2.EnumDescriptorProto:
    made = descriptor_pb2.EnumDescriptorProto(name="E")
    for number in range(values):
        made.value.add(name=f"V{number}", number=number)
    return made


def references(count: int) -> descriptor_pb2.DescriptorProto:
    kind = descriptor_pb2.FieldDescriptorProto
    made = descriptor_pb2.DescriptorProto()
    for number in range(100, 100 + count):
        made.field.add(
            name=f"r{number}",
            number=number,
            type=kind.TYPE_MESSAGE,
            label=kind.LABEL_OPTIONAL,
            type_name=".recordlayer.v1.Reference",
        )
    return made


def with_indexes(count: int, option: str) -> bytes:
    made = record_metadata_pb2.MetaData.FromString(description())
    for number in range(count):
        index = made.indexes.add()
        index.CopyFrom(made.indexes[0])
        index.name = f"more{number}"
        index.options.add(key="option", value=option)
    return made.SerializeToString()


def many_files() -> bytes:
    made = descriptor_pb2.FileDescriptorSet()
    for number in range(200):
        made.file.add(name=f"{number}.proto", dependency=[f"{number + 1}.proto"] if number < 199 else [])
    return made.SerializeToString()


def with_number(message: Message) -> bytes:
    file = photos_file()
    file.message_type[2].MergeFrom(message)  # type: ignore[arg-type]
    made = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())
    made.file[-1].CopyFrom(file)
    return made.SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 100,
        bytes(2 << 20),
        file_of(),
        file_of(nested(40)),
        file_of(with_field(name="x" * 300)),
        file_of(with_field(number=schema.SYSTEM_NUMBER)),
        file_of(with_field(name=schema.SYSTEM)),
        file_of(*(descriptor_pb2.DescriptorProto(name=f"M{number}") for number in range(3_000))),
        file_of(descriptor_pb2.DescriptorProto(name="M", enum_type=[enum_of(20_000)])),
        with_indexes(600, ""),
        with_indexes(1, "x" * 20_000),
        with_number(references(600)),
        many_files(),
        with_number(
            descriptor_pb2.DescriptorProto(
                extension_range=[descriptor_pb2.DescriptorProto.ExtensionRange(start=100, end=1 << 29)]
            )
        ),
    ],
    ids=[
        "nothing",
        "garbage",
        "too large",
        "no message",
        "too deep",
        "a long name",
        "the system field's number",
        "the system field's name",
        "too many messages",
        "too many enum values",
        "too many indexes",
        "an index that is too large",
        "too many references",
        "too many files",
        "all numbers taken",
    ],
)
def test_a_description_that_cannot_be_served_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(SchemaError):
        schema.derived(data)
