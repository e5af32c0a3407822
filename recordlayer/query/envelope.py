"""Continuations of queries: the place in a plan, with which query and which plan it is a place of.

Layout  protos/continuation.proto, QueryContinuation
Source  ours; a continuation of Java's query plans is refused (it means something for Java's plan only)

The promise, from one release to the next:

- A continuation resumes in every later release with the same major version, or raises `BadContinuation`. It never goes
  on at another place than the one it was taken at, and never outside of the query's own bounds.
- It goes with the same query and the same values. It outlives new metadata: what counts is that the indexes it reads,
  and the primary keys, are still defined as they were. An index that was dropped or disabled ends it.
- The plan that gave it is taken again, also when another one would be chosen by now.
- Recorded continuations of each release are kept under tests/golden/continuations, and resumed by every later one.
- A continuation says nothing about who may use it: seal it (`cursor.sealing`) before it goes to somebody else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from recordlayer.cursor.continuation import bytes_field, decode_fields, encode_fields, number_field
from recordlayer.errors import BadContinuation

FORM = 1
_CHECK = 8
_CHECK_FIELD = b"\x32\x08"
_PERSON = b"rl continuation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a continuation says besides the place."""

    query: bytes
    plan: bytes
    metadata_version: int

    def seal(self, place: bytes) -> bytes:
        """The continuation at a place of the plan."""
        body = encode_fields({1: FORM, 2: self.query, 3: self.plan, 4: self.metadata_version, 5: place})
        return body + _CHECK_FIELD + _sum(body)


def opened(continuation: bytes) -> tuple[Envelope, bytes]:
    """What a continuation says, and its place.  Raises  BadContinuation."""
    if not isinstance(continuation, bytes):
        raise BadContinuation(reason="it is not bytes", got=type(continuation).__name__)
    body, check = continuation[: -_CHECK - 2], continuation[-_CHECK - 2 :]
    fields = decode_fields(continuation)
    form = fields.get(1)
    if isinstance(form, int) and form > FORM:
        raise BadContinuation(reason="a later release made it", form=form, hint="begin anew")
    if check[:2] != _CHECK_FIELD or form != FORM:
        raise BadContinuation(
            reason="it is not one of a query", hint="scans resume scans, and queries resume queries of recordlayer"
        )
    if check[2:] != _sum(body):
        raise BadContinuation(reason="it has been damaged", hint="keep continuations as the bytes they are")
    query, plan, place = (bytes_field(fields, number) for number in (2, 3, 5))
    if query is None or plan is None or place is None or max(fields) > 6:
        raise BadContinuation(reason="a part of it is missing")
    return Envelope(query=query, plan=plan, metadata_version=number_field(fields, 4)), place


def _sum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK, person=_PERSON).digest()
