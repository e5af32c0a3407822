"""What a transaction keeps until its commit because it waits for the commit's version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recordlayer.kv.context import Context
from recordlayer.kv.engine import Engine
from recordlayer.kv.registry import open_engine
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

WAITING = b"\xff" * 10


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = open_engine("memory:")
    yield engine
    engine.close()


@pytest.fixture
def context(engine: Engine) -> Iterator[Context]:
    context = Context(engine.begin(), world=World())
    yield context
    context.close()


def operand(key: bytes) -> bytes:
    """Of a key with the version behind it."""
    return key + WAITING + len(key).to_bytes(4, "little")


def test_kept_keys_and_values_are_shown_in_order_within_a_range(context: Context) -> None:
    context.set_stamped_key(operand(b"b"), b"2")
    context.set_stamped_key(operand(b"a"), b"1")
    context.set_stamped_value(b"ab", WAITING + b"tail" + bytes(4))
    whole = [(b"a" + WAITING, b"1"), (b"ab", WAITING + b"tail"), (b"b" + WAITING, b"2")]
    assert context.stamped_rows(b"", b"\xff") == sorted(whole)
    assert context.stamped_rows(b"b", b"c") == whole[2:]
    assert context.stamped_rows(b"b" + WAITING, b"c") == whole[2:]
    assert context.stamped_rows(b"b" + WAITING + b"\x00", b"c") == []


def test_of_several_values_for_a_key_the_largest_is_kept(context: Context) -> None:
    for last in (1, 3, 2):
        context.raise_stamped_value(b"k", WAITING + bytes((0, last)) + bytes(4))
    assert context.stamped_value(b"k") == WAITING + b"\x00\x03" + bytes(4)
    context.set_stamped_value(b"k", WAITING + b"\x00\x01" + bytes(4))
    assert context.stamped_value(b"k") == WAITING + b"\x00\x01" + bytes(4), "whoever sets says which"


def test_a_clear_range_drops_the_keys_in_it_and_no_others(context: Context) -> None:
    for key in (b"a", b"b", b"c"):
        context.set_stamped_key(operand(key), b"")
    context.clear_range(b"b" + WAITING, b"b" + WAITING + b"\x00")
    assert [key for key, _ in context.stamped_rows(b"", b"\xff")] == [b"a" + WAITING, b"c" + WAITING]
    context.clear_range(b"a", b"c")
    assert [key for key, _ in context.stamped_rows(b"", b"\xff")] == [b"c" + WAITING]


def test_a_key_that_is_taken_back_is_not_written(engine: Engine, context: Context) -> None:
    context.set_stamped_key(operand(b"a"), b"")
    context.set_stamped_key(operand(b"b"), b"x")
    assert context.drop_stamped_key(operand(b"a"))
    assert not context.drop_stamped_key(operand(b"a"))
    run_blocking(context.commit())
    stamp = run_blocking(context.versionstamp())
    again = Context(engine.begin(), world=World())
    assert run_blocking(again.read_all(b"", b"\xff")) == [(b"b" + stamp, b"x")]
    again.close()
