"""Token buckets that processes share."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import CorruptTenantState, UsageError
from recordlayer.tenant.bucket import LEASE_SECONDS, Bucket
from recordlayer.tenant.limits import TenantLimits

LIMITS = TenantLimits(keys_read=100, bytes_written=1_000)
NOTHING = [0.0] * 4


def test_a_bucket_is_full_at_first_and_keeps_no_more_than_the_burst() -> None:
    bucket = Bucket.full(LIMITS, 10.0)
    assert bucket.levels == [200.0, 0.0, 0.0, 2_000.0]
    bucket.fill(LIMITS, 1_000.0)
    assert bucket.levels == [200.0, 0.0, 0.0, 2_000.0]


def test_what_is_owed_is_paid_back_before_anything_is_granted() -> None:
    bucket = Bucket.full(LIMITS, 0.0)
    bucket.lease(LIMITS, 1, NOTHING)
    granted = bucket.lease(LIMITS, 1, [-1_000.0, 0.0, 0.0, 600.0])
    assert granted[0] == 0.0
    assert granted[3] > 0.0
    wait = bucket.seconds_until(LIMITS, granted)
    assert wait == pytest.approx((1.0 - bucket.levels[0]) / 100)
    bucket.fill(LIMITS, wait)
    assert bucket.lease(LIMITS, 1, NOTHING)[0] == pytest.approx(1.0)


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = Bucket(100.0, [5.0, 0.0, 0.0, 5.0])
    bucket.fill(LIMITS, 50.0)
    assert (bucket.at, bucket.levels) == (100.0, [5.0, 0.0, 0.0, 5.0])
    bucket.fill(LIMITS, 100.5)
    assert bucket.levels[0] == 55.0


@pytest.mark.parametrize("holders", [1, 2, 7])
def test_holders_of_a_bucket_that_is_short_get_the_same(holders: int) -> None:
    bucket = Bucket(0.0, list(NOTHING))
    got = dict.fromkeys(range(1, holders + 1), 0.0)
    steps = 400
    for step in range(1, steps + 1):
        for holder in got:
            bucket.fill(LIMITS, step * LEASE_SECONDS)
            got[holder] += bucket.lease(LIMITS, holder, NOTHING)[0]
    flowed = steps * LEASE_SECONDS * 100
    assert sum(got.values()) <= flowed + 1e-6
    assert sum(got.values()) >= 0.95 * flowed
    assert max(got.values()) <= 1.2 * min(got.values())


def test_a_holder_that_has_gone_is_not_counted_for_long() -> None:
    bucket = Bucket(0.0, list(NOTHING))
    for holder in range(1, 6):
        bucket.lease(LIMITS, holder, NOTHING)
    bucket.fill(LIMITS, 10.0)
    bucket.lease(LIMITS, 1, NOTHING)
    assert set(bucket.holders) == {1}


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.floats(0.0, 2.0), st.floats(0.0, 500.0)),
        max_size=40,
    )
)
def test_nobody_gets_more_than_flows_in(visits: list[tuple[int, float, float]]) -> None:
    now = 0.0
    bucket = Bucket.full(LIMITS, now)
    held = dict.fromkeys((1, 2, 3), 0.0)
    used = 0.0
    for holder, passed, use in visits:
        now += passed
        held[holder] -= use
        used += use
        bucket.fill(LIMITS, now)
        granted = bucket.lease(LIMITS, holder, [held[holder], 0.0, 0.0, 0.0])
        held[holder] = granted[0]
        assert 0.0 <= granted[0] <= 200.0
        there = bucket.levels[0] + sum(held.values())
        assert there + used <= 200.0 + 100.0 * now + 1e-3
        bucket = Bucket.of(bucket.packed())


def test_what_is_kept_is_read_back_and_damage_is_told() -> None:
    limits = TenantLimits(keys_written=7, burst=timedelta(milliseconds=1_500))
    assert TenantLimits.of(limits.packed()) == limits
    for damaged in (b"", b"\xff", limits.packed()[:-1], limits.packed()[2:]):
        with pytest.raises(CorruptTenantState):
            TenantLimits.of(damaged)
        with pytest.raises(CorruptTenantState):
            Bucket.of(damaged)


@pytest.mark.parametrize(
    "wrong", [{"keys_read": 0}, {"bytes_written": 1.5}, {"burst": 2}, {"burst": timedelta(milliseconds=499)}]
)
def test_limits_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        TenantLimits(**wrong)  # type: ignore[arg-type]
