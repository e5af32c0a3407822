"""What the engine refuses: told at once or by the commit, and the store is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recordlayer.errors import (
    Closed,
    InvalidMutationType,
    InvalidOperation,
    InvalidOptionValue,
    InvertedRange,
    KeyOutsideLegalRange,
    KeyTooLarge,
    RecordLayerError,
    TransactionTooLarge,
    UsedDuringCommit,
    ValueTooLarge,
    WrongType,
)
from recordlayer.kv.embedded.engine import EmbeddedEngine
from recordlayer.kv.engine import ConflictKind, KeySelector, MutationType, Transaction, TransactionOption
from tests.support.embedded import content, do, opened, put

SOME = {b"a": b"1", b"b": b"2"}
Call = Callable[[Transaction], object]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EmbeddedEngine]:
    with opened(tmp_path / "data", durability="relaxed") as engine:
        put(engine, SOME)
        yield engine


WRITES: dict[str, tuple[type[RecordLayerError], Call]] = {
    "key too long": (KeyTooLarge, lambda t: t.set(b"k" * 10_001, b"")),
    "value too long": (ValueTooLarge, lambda t: t.set(b"k", b"v" * 100_001)),
    "operand too long": (ValueTooLarge, lambda t: t.atomic(MutationType.ADD, b"k", b"v" * 100_001)),
    "system key": (KeyOutsideLegalRange, lambda t: t.set(b"\xff/x", b"")),
    "key is text": (WrongType, lambda t: t.set("k", b"")),  # type: ignore[arg-type]
    "value is text": (WrongType, lambda t: t.set(b"k", "v")),  # type: ignore[arg-type]
    "value is a bytearray": (WrongType, lambda t: t.set(b"k", bytearray(b"v"))),
    "value is None": (WrongType, lambda t: t.set(b"k", None)),  # type: ignore[arg-type]
    "range upside down": (InvertedRange, lambda t: t.clear_range(b"b", b"a")),
    "range of numbers": (WrongType, lambda t: t.clear_range(1, 2)),  # type: ignore[arg-type]
    "no such operation": (InvalidMutationType, lambda t: t.atomic(99, b"k", b"")),  # type: ignore[arg-type]
    "stamp without room": (InvalidOperation, lambda t: t.atomic(MutationType.SET_VERSIONSTAMPED_VALUE, b"k", b"x")),
    "conflict upside down": (InvertedRange, lambda t: t.add_conflict_range(ConflictKind.READ, b"b", b"a")),
    "option without its value": (InvalidOptionValue, lambda t: t.set_option(TransactionOption.TIMEOUT)),
    "option with a wrong value": (InvalidOptionValue, lambda t: t.set_option(TransactionOption.TIMEOUT, "soon")),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_wrong_call_is_refused_and_the_transaction_goes_on(engine: EmbeddedEngine, name: str) -> None:
    error, call = WRITES[name]
    transaction = engine.begin()
    transaction.set(b"before", b"1")
    with pytest.raises(error) as caught:
        call(transaction)
    assert str(caught.value).splitlines()[0] == error.title
    assert len(str(caught.value)) < 600, "a text for people, whatever was handed in"
    transaction.set(b"after", b"1")
    do(transaction.commit())
    assert content(engine) == {**SOME, b"before": b"1", b"after": b"1"}


READS: dict[str, tuple[type[RecordLayerError], Call]] = {
    "system key": (KeyOutsideLegalRange, lambda t: do(t.get(b"\xff/x"))),
    "key is text": (WrongType, lambda t: do(t.get("k"))),  # type: ignore[arg-type]
    "selector is text": (WrongType, lambda t: do(t.get_key("k"))),  # type: ignore[arg-type]
    "offset is text": (WrongType, lambda t: do(t.get_key(KeySelector(b"k", False, "1")))),  # type: ignore[arg-type]
    "range of numbers": (WrongType, lambda t: do(t.get_range(1, 2))),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", READS)
def test_a_wrong_read_is_refused(engine: EmbeddedEngine, name: str) -> None:
    error, call = READS[name]
    transaction = engine.begin()
    with pytest.raises(error):
        call(transaction)
    transaction.close()
    assert content(engine) == SOME


def test_a_transaction_over_the_limit_is_refused_as_a_whole(engine: EmbeddedEngine) -> None:
    transaction = engine.begin()
    for number in range(101):
        transaction.set(b"%03d" % number, b"x" * 100_000)
    with pytest.raises(TransactionTooLarge) as caught:
        do(transaction.commit())
    assert caught.value.fields["limit"] == 10_000_000
    assert "split" in caught.value.hint
    transaction.close()
    assert content(engine) == SOME
    transaction = engine.begin()
    transaction.set_option(TransactionOption.SIZE_LIMIT, 1000)
    transaction.set(b"k", b"x" * 2000)
    with pytest.raises(TransactionTooLarge):
        do(transaction.commit())
    assert content(engine) == SOME


def test_a_key_and_a_value_at_their_limits_are_stored(engine: EmbeddedEngine) -> None:
    put(engine, {b"k" * 10_000: b"v" * 100_000})
    assert content(engine)[b"k" * 10_000] == b"v" * 100_000


CALLS: dict[str, Callable[[Any], object]] = {
    "get": lambda t: do(t.get(b"a")),
    "get_many": lambda t: do(t.get_many([b"a", b"b"])),
    "get_key": lambda t: do(t.get_key(KeySelector.first_greater_than(b"a"))),
    "get_range": lambda t: do(t.get_range(b"a", b"b")),
    "watch": lambda t: do(t.watch(b"a")),
    "estimated_range_size": lambda t: do(t.estimated_range_size(b"a", b"b")),
    "range_split_points": lambda t: do(t.range_split_points(b"a", b"b", 10)),
    "set": lambda t: t.set(b"a", b"9"),
    "clear": lambda t: t.clear(b"a"),
    "clear_range": lambda t: t.clear_range(b"a", b"b"),
    "atomic": lambda t: t.atomic(MutationType.ADD, b"a", b"1"),
    "add_conflict_range": lambda t: t.add_conflict_range(ConflictKind.READ, b"a", b"b"),
    "commit": lambda t: do(t.commit()),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_transaction_says_so(engine: EmbeddedEngine, name: str) -> None:
    transaction = engine.begin()
    transaction.set(b"a", b"2")
    transaction.close()
    transaction.close()
    with pytest.raises(Closed) as caught:
        CALLS[name](transaction)
    assert "begin another" in caught.value.hint
    assert content(engine) == SOME


@pytest.mark.parametrize("name", CALLS)
def test_a_committed_transaction_is_not_used_again(engine: EmbeddedEngine, name: str) -> None:
    transaction = engine.begin()
    transaction.set(b"c", b"3")
    do(transaction.commit())
    with pytest.raises(UsedDuringCommit) as caught:
        CALLS[name](transaction)
    assert caught.value.hint
    transaction.close()
    assert content(engine) == {**SOME, b"c": b"3"}
