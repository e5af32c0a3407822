"""What the operations of one request are, checked before anything is read.

The system field of a record is written here and nowhere else: who, when and from where.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recordlayer import RecordMetaData
from recordlayer.client.pb import records_pb2
from recordlayer_server.call import Call
from recordlayer_server.contents import key_of, zone_of
from recordlayer_server.limits import Limits
from recordlayer_server.schema import SYSTEM
from recordlayer_server.statuses import bad_request, too_large

Type = records_pb2.Operation

_TYPES = frozenset(Type.Type.values())
CREATING = frozenset({Type.CREATE, Type.FORCE_UPDATE, Type.FORCE_REPLACE})
UPDATING = frozenset({Type.UPDATE, Type.FORCE_UPDATE})
DELETING = frozenset({Type.DELETE, Type.FORCE_DELETE})
TAGGED = frozenset({Type.UPDATE, Type.REPLACE, Type.DELETE})
FORCED = frozenset({Type.FORCE_UPDATE, Type.FORCE_REPLACE, Type.FORCE_DELETE})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, in a request or a batch that `where` leads to."""

    said: records_pb2.Operation
    key: tuple[str, str]
    where: str
    type: int


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and when: microseconds since 1970."""

    user: str
    device: str
    now: int

    @classmethod
    def of(cls, call: Call) -> Author:
        return cls(call.identity.user, call.device, time.time_ns() // 1_000)

    def sign(self, message: Any, key: tuple[str, str], old: Any) -> None:
        """Fill the system field of a record that takes the place of `old`, or of nothing."""
        system = getattr(message, SYSTEM)
        system.Clear()
        system.zone, system.name = key
        before = None if old is None else getattr(old, SYSTEM)
        system.created_at = self.now if before is None else before.created_at
        system.created_by = self.user if before is None else before.created_by
        system.created_on = self.device if before is None else before.created_on
        system.modified_at, system.modified_by, system.modified_on = self.now, self.user, self.device


def checked(
    said: Sequence[records_pb2.Operation], limits: Limits, names: Names, *, where: str = "operations"
) -> list[Operation]:
    """The operations, if each is well formed and no record comes twice.  Raises  Refusal."""
    if not said:
        raise bad_request(where, "give at least one operation")
    if len(said) > limits.operations_per_request:
        raise too_large(where, limit=limits.operations_per_request, size=len(said))
    found: list[Operation] = []
    seen: set[tuple[str, str]] = set()
    for place, one in enumerate(said):
        here = f"{where}[{place}]"
        record, kind = one.record, int(one.type)
        if kind == Type.TYPE_UNSPECIFIED or kind not in _TYPES:
            raise bad_request(f"{here}.type", "say what to do")
        name = record.name
        if kind in CREATING and not name.name:
            zone = zone_of(name.zone, f"{here}.record.name.zone", limits)
            key = (zone, names.make(place))
        else:
            key = key_of(name, f"{here}.record.name", limits)
        if key in seen:
            raise bad_request(f"{here}.record.name", "one operation for each record")
        seen.add(key)
        if kind in TAGGED and not record.change_tag:
            raise bad_request(f"{here}.record.change_tag", "give the tag of the record that you know, or use FORCE_...")
        if kind in DELETING and (one.transforms or record.WhichOneof("content")):
            raise bad_request(here, "a deletion has a name and a tag only")
        if kind not in DELETING and not record.record_type:
            raise bad_request(f"{here}.record.record_type", "name the record type")
        for several in ("transforms", "given_fields"):
            if len(getattr(one, several)) > limits.filter_nodes:
                raise bad_request(f"{here}.{several}", f"at most {limits.filter_nodes}")
        found.append(Operation(one, key, here, kind))
    return found


class Names:
    """Makes up names for records whose caller gives none: the same again for the same idempotency key.

    seed  the key; without one they are never the same
    """

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def make(self, place: int) -> str:
        if not self._seed:
            self._seed = secrets.token_bytes(32)
        return hashlib.blake2b(place.to_bytes(4, "big"), key=self._seed[:64], digest_size=16).hexdigest()


def check_type(metadata: RecordMetaData, operation: Operation) -> None:
    """Raises  Refusal for a record type that the container does not have."""
    if operation.said.record.record_type not in metadata.record_types:
        raise bad_request(f"{operation.where}.record.record_type", "there is no such record type")
