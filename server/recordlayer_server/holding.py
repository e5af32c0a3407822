"""Where a record holds messages of one of the service's own types: references, assets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor

from recordlayer_server.schema import SYSTEM


def held(message: Any, wanted: str) -> Iterator[tuple[Any, bool]]:
    """All messages of a type in a message, each with whether it is a field of the message itself, or in a list that is
    one. They are those of the message: what is changed in them is changed in it."""
    for each, content in message.ListFields():
        descriptor = each.message_type
        if descriptor is None or each.name == SYSTEM or not may_hold(descriptor, wanted):
            continue
        is_map = descriptor.GetOptions().map_entry
        if is_map:
            content = content.values()
        for one in content if each.is_repeated else (content,):
            if one.DESCRIPTOR.full_name == wanted:
                yield one, not is_map
            else:
                yield from ((inner, False) for inner, _ in held(one, wanted))


@lru_cache(maxsize=1_000)
def may_hold(descriptor: Descriptor, wanted: str) -> bool:
    """Whether messages of a type are, or may hold, messages of the wanted one."""
    seen, ahead = {descriptor.full_name}, [descriptor]
    for one in ahead:  # it grows
        if one.full_name == wanted:
            return True
        for each in one.fields:
            if each.message_type is not None and each.name != SYSTEM and each.message_type.full_name not in seen:
                seen.add(each.message_type.full_name)
                ahead.append(each.message_type)
    return False
