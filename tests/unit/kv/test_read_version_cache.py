"""The newest read version that was heard of, and a span as FoundationDB's client takes it."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.kv.read_version_cache import ReadVersionCache
from recordlayer.kv.span_parent import span_parent
from recordlayer.observe.observer import SpanIdentity
from recordlayer.testing.clock import ManualClock

SECOND = timedelta(seconds=1)


def test_nothing_is_known_at_first_and_of_what_never_read() -> None:
    cache = ReadVersionCache(ManualClock())
    assert cache.version(SECOND) is None
    cache.learned(-1, cache.now())
    cache.learned(0, cache.now())
    assert cache.version(SECOND) is None


def test_a_version_is_as_old_as_the_question_that_told_it() -> None:
    clock = ManualClock()
    cache = ReadVersionCache(clock)
    asked = cache.now()
    clock.advance(0.75)
    cache.learned(7, asked)
    assert cache.version(SECOND) == 7
    clock.advance(0.25)
    assert cache.version(SECOND) == 7
    clock.advance(0.01)
    assert cache.version(SECOND) is None
    assert cache.version(2 * SECOND, at_least=7) == 7
    assert cache.version(2 * SECOND, at_least=8) is None


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(0, 3)), max_size=12))
def test_answers_in_any_order_leave_the_newest_version_and_its_latest_question(told: list[tuple[int, int]]) -> None:
    clock = ManualClock()
    cache = ReadVersionCache(clock)
    begin = cache.now()
    clock.advance(3)
    for version, asked in told:
        cache.learned(version, begin + asked)
    newest = max((version for version, _ in told), default=0)
    if newest < 1:
        assert cache.version(10 * SECOND) is None
        return
    latest = max(asked for version, asked in told if version == newest)
    age = timedelta(seconds=3 - latest)
    assert cache.version(age + timedelta(milliseconds=1)) == newest
    if age:
        assert cache.version(age - timedelta(milliseconds=1)) is None


def test_a_span_has_its_33_bytes() -> None:
    span = SpanIdentity(bytes(range(16)), bytes(range(16, 24)), True)
    data = span_parent(span)
    assert data == (
        bytes.fromhex("000000 72b0 00db0f".replace(" ", ""))
        + bytes(reversed(range(8)))
        + bytes(reversed(range(8, 16)))
        + bytes(reversed(range(16, 24)))
        + b"\x01"
    )
    assert len(data) == 33
    assert span_parent(SpanIdentity(span.trace, span.span, False))[-1] == 0
