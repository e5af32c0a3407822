"""The functions that are there in C give what those in Python give, for good: the same values and the same errors."""

from __future__ import annotations

import gc
import sys
import uuid
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recordlayer.core import twins
from recordlayer.tuples import Versionstamp
from tests.support.both_ways import needs_core, outcome
from tests.unit.tuples.test_unpacking import hostile
from tests.unit.tuples.values import exact, tuples_with_open_stamps

pytestmark = needs_core


class Stranger:
    pass


class Backwards(list[Any]):
    """A list that is iterated over in its own way."""

    def __iter__(self) -> Any:
        return reversed(self)


class Pair(NamedTuple):
    first: Any
    second: Any


def both(name: str, *arguments: Any) -> tuple[Any, Any]:
    in_python, in_c = twins[name]
    return outcome(in_python, *arguments), outcome(in_c, *arguments)


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


strange = st.sampled_from(
    [
        Stranger(),
        "\ud800",
        "a\ud800\0",
        bytearray(b"x"),
        1 << 2040,
        Backwards([1, "a"]),
        Pair(1, None),
        (Pair((None,), 2),),
        _nested(99),
        _nested(100),
        _nested(101),
        Versionstamp.incomplete(3),
        1j,
    ]
)


@given(
    st.builds(lambda items, more: (*items, *more), tuples_with_open_stamps, st.lists(strange, max_size=2)),
    st.binary(max_size=600) | st.sampled_from([bytearray(b"p"), "text", None]),
    st.booleans(),
)
@example((1,) * 40 + ("x" * 600, b"\0" * 700, -(1 << 63), (1 << 63) - 1), b"", True)
def test_packing_is_the_same_both_ways(items: tuple[Any, ...], prefix: Any, as_list: bool) -> None:
    given_items = list(items) if as_list else items
    in_python, in_c = both("pack", given_items, prefix if type(prefix) is not bytearray else bytes(prefix))
    assert in_c == in_python
    assert type(in_c[1]) is type(in_python[1])


@given(hostile, st.integers(-2, 26) | st.just(1 << 70))
@example(b"\x05" * 100 + b"\x00" * 100, 0)
@example(b"\x05" * 101 + b"\x00" * 101, 0)
@example(b"\x02a\x00" * 40, 0)
@example(b"\x0c" + b"\x00" * 8 + b"\x0c\x80" + b"\x00" * 7 + b"\x0c\x7f" + b"\xff" * 7 + b"\x1c" + b"\xff" * 8, 0)
@example(b"\x01\x00\xff\x00\xff\x00\x02\x00\xff\xc3\xa4\x00", 0)
@example(b"\x02\xc3\x00", 0)
def test_unpacking_is_the_same_both_ways(data: bytes, offset: int) -> None:
    in_python, in_c = both("unpack", data, offset)
    assert in_c[0] == in_python[0]
    if in_c[0] == "gives":
        assert exact(in_c[1]) == exact(in_python[1])
        assert [type(value) for value in in_c[1]] == [type(value) for value in in_python[1]]
    else:
        assert in_c == in_python


@pytest.mark.parametrize("name", ["pack", "unpack"])
def test_calls_that_are_none_fail_alike(name: str) -> None:
    for arguments in [(), (1,), (None, None), ((), b"", 3), (b"\x14", True), (b"\x14", 0.0), (bytearray(b"\x14"),)]:
        in_python, in_c = both(name, *arguments)
        assert in_c == in_python
    pack, unpack = twins["pack"][1], twins["unpack"][1]
    assert pack is not None
    assert unpack is not None
    assert pack(items=(1,), prefix=b"p") == b"p\x15\x01"
    assert unpack(data=b"p\x15\x01", offset=1) == (1,)


@pytest.mark.parametrize("way", [0, 1])
def test_a_list_that_changes_while_it_is_packed_does_no_harm(way: int) -> None:
    class Emptying(uuid.UUID):
        def __getattribute__(self, name: str) -> Any:
            if name == "int":
                items.clear()
            return super().__getattribute__(name)

    items: list[Any] = [Emptying(int=1), "a" * 100, "b" * 100]
    pack = twins["pack"][way]
    assert pack is not None
    assert pack(items) == b"\x30" + bytes(15) + b"\x01"
    assert items == []


def test_nothing_is_kept_of_what_was_packed_and_unpacked() -> None:
    """References that leaked would show as blocks that grow."""
    pack, unpack = twins["pack"][1], twins["unpack"][1]
    items = (1, -70_000, "text", "tëxt", b"\0", 1.5, None, True, ("a", (None, [2])), 1 << 80, *range(20))
    packed = outcome(pack, items)[1]
    broken = [packed[:-1], packed + b"\xff", b"\x05\x02a\x00", b"\x02\xc3\x00", b"\x05" * 101]

    def work() -> None:
        for _ in range(100):
            outcome(pack, items, b"prefix")
            outcome(pack, (*items, Stranger()))
            outcome(unpack, packed)
            for data in broken:
                outcome(unpack, data)

    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    assert sys.getallocatedblocks() - before < 50
