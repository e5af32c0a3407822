"""What continuations of queries are made of: the messages of continuation.proto, read by protobuf itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.cursor.sealing import ContinuationSeal, Tenant
from recordlayer.errors import BadContinuation
from recordlayer.pb import continuation_pb2
from recordlayer.query.envelope import Envelope, opened

EIGHT = st.binary(min_size=8, max_size=8)
ENVELOPES = st.builds(Envelope, query=EIGHT, plan=EIGHT, metadata_version=st.integers(0, 2**31 - 1))


@given(ENVELOPES, st.binary(max_size=300))
def test_an_envelope_is_the_message_of_its_proto_file_and_opens_again(envelope: Envelope, place: bytes) -> None:
    made = envelope.seal(place)
    assert opened(made) == (envelope, place)
    message: Any = continuation_pb2.QueryContinuation.FromString(made)
    assert (message.form, message.query, message.plan, message.place) == (1, envelope.query, envelope.plan, place)
    assert message.metadata_version == envelope.metadata_version
    assert len(message.check) == 8
    assert message.SerializeToString(deterministic=True) == made or envelope.metadata_version == 0


@given(ENVELOPES, st.binary(max_size=40), st.data())
def test_no_other_bytes_open(envelope: Envelope, place: bytes, data: st.DataObject) -> None:
    made = envelope.seal(place)
    at = data.draw(st.integers(0, len(made) - 1))
    changed = made[:at] + bytes([made[at] ^ data.draw(st.integers(1, 255))]) + made[at + 1 :]
    for bad in (changed, made[:at], made + b"\x00", made[at:], made + made):
        if bad != made:
            with pytest.raises(BadContinuation):
                opened(bad)


@given(st.binary(max_size=60))
def test_bytes_that_nobody_made_do_not_open(bad: bytes) -> None:
    with pytest.raises(BadContinuation):
        opened(bad)


@given(st.binary(max_size=80), st.binary(max_size=20), st.binary(max_size=60))
def test_a_seal_opens_what_it_sealed_for_the_same_tenant_alone(place: bytes, name: bytes, other: bytes) -> None:
    seal = ContinuationSeal({"k": bytes(64)})
    tenant = Tenant(name=name, now=0.0)
    made = seal.seal(place, tenant)
    assert seal.open(made, tenant) == place
    message: Any = continuation_pb2.SealedContinuation.FromString(made)
    assert (message.form, message.key, len(message.sealed) > 16) == (1, "k", True)
    for bad, whose in ((made, Tenant(name=name + b"x", now=0.0)), (other, tenant), (made + other, tenant)):
        if bad != made or whose != tenant:
            with pytest.raises(BadContinuation):
                seal.open(bad, whose)
