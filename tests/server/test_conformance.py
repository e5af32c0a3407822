"""The cases that clients in any language may run (tests/conformance), run by Python's stubs over a port."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.rpc
import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2, status_pb2

from recordlayer.client.pb import errors_pb2
from recordlayer.client.testing.fake import FakeServer, fake
from tests.server.test_bad_input import METHODS
from tests.support.conformance import CONTAINER, FOLDER, Case, Judge, cases, context

CASES = list(cases())
DETAILS = (error_details_pb2, errors_pb2)  # what statuses have in them; to be known when one is shown
PROTOS = FOLDER.parents[1] / "protos"


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with fake({CONTAINER: FOLDER / "notes.binpb"}) as server, _channel(server) as opened:
        yield opened


def _channel(server: FakeServer) -> grpc.Channel:
    return grpc.insecure_channel(server.url.partition("://")[2], options=[("grpc.enable_http_proxy", 0)])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_is_answered_as_it_is_written(channel: grpc.Channel, case: Case) -> None:
    judge, user = Judge(), uuid.uuid4().hex
    for number, step in enumerate(case.steps):
        where = f"step {number + 1}, {step['call']}"
        differences = list(answered(channel, step, judge, user))
        assert not differences, f"{case}, {where}"


def answered(channel: grpc.Channel, step: dict[str, Any], judge: Judge, user: str) -> Iterator[str]:
    """What is other than written in the answer to a step."""
    assert step.keys() <= {"call", "request", "reply", "replies", "status"}, step
    method = METHODS[step["call"]]
    said = judge.filled(step.get("request", {}))
    said = {**said, "context": {**context(user), **said.get("context", {})}}
    request = ParseDict(said, method.input_type._concrete_class())
    call = channel.unary_stream if method.server_streaming else channel.unary_unary
    stub = call(
        f"/recordlayer.v1.{step['call']}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=method.output_type._concrete_class.FromString,
    )
    try:
        found = stub(request, timeout=30)
        replies = list(found) if method.server_streaming else [found]
    except grpc.RpcError as error:
        if "status" not in step:
            raise
        yield from judge.of_status(step["status"], shown(status_of(error)))
        return
    if "status" in step:
        yield f"it is well, and should be {step['status']}"
    written = step.get("replies", [step["reply"]] if "reply" in step else None)
    if written is not None:
        yield from judge.differences(written, [shown(reply) for reply in replies])


def shown(message: Any) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True)


def status_of(error: Any) -> status_pb2.Status:
    for name, value in error.trailing_metadata():
        if name == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    return status_pb2.Status(code=error.code().value[0], message=error.details())


def test_the_suites_are_many_cases_of_names_of_their_own() -> None:
    assert len(CASES) >= 40
    assert len({str(case) for case in CASES}) == len(CASES)
    called = {step["call"] for case in CASES for step in case.steps}
    assert {"Records/Modify", "Records/QueryStream", "Zones/List", "Sync/DatabaseChanges"} <= called


def test_a_difference_is_found_wherever_it_is() -> None:
    """The judge does not say yes to everything."""
    reply = {"a": "1", "list": [{"b": True}], "status": {"code": 5, "details": []}, "tag": "AAAA"}
    for written, there in (
        ({"a": 1, "list": [{"b": True}], "status": {"code": "NOT_FOUND", "reason": ""}, "c": "$absent"}, 0),
        ({"a": 2}, 1),
        ({"a": "$absent"}, 1),
        ({"c": "$any"}, 1),
        ({"c": "$kept"}, 1),
        ({"c": "x"}, 1),
        ({"list": []}, 1),
        ({"list": [{"b": False}]}, 1),
        ({"status": {"code": "OK", "retry": True}}, 2),
        ({"tag": "$first", "a": {"$not": "$first"}}, 0),
        ({"tag": {"$not": "AAAA"}}, 1),
        ({"a": "$same", "tag": "$same"}, 1),
        ({"a": {"$set": 1}, "list": [{"b": {"$set": True}}]}, 0),
        ({"c": {"d": ""}}, 0),
        ({"c": {"d": {"$set": ""}}}, 1),
    ):
        assert len(list(Judge().differences(written, reply))) == there, written


def test_what_a_server_takes_is_what_the_proto_file_says(tmp_path: Path) -> None:
    if not PROTOS.is_dir():
        pytest.skip("the .proto files are in the source tree only, and this runs without one")
    protoc = importlib.import_module("grpc_tools.protoc")
    google_rpc, google_protobuf = (
        Path(next(iter(google.rpc.__path__))).parents[1],
        Path(protoc.__file__).parent / "_proto",
    )
    made = tmp_path / "notes.binpb"
    folders = [f"-I{folder}" for folder in (PROTOS, FOLDER, google_rpc, google_protobuf)]
    assert protoc.main(["protoc", *folders, "--include_imports", f"-o{made}", "notes.proto"]) == 0
    assert own_files(made) == own_files(FOLDER / "notes.binpb"), "compile notes.proto again"


def own_files(path: Path) -> dict[str, Any]:
    """But for those of protobuf itself, which come with the compiler."""
    found = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    return {file.name: file for file in found.file if not file.name.startswith("google/")}
