"""Shares of calls, by a clock that is moved by hand: who is refused, who is told so again, and who too often."""

from __future__ import annotations

import pytest

from recordlayer_server import statuses
from recordlayer_server.call import Asked, Call, Everybody
from recordlayer_server.limits import DEFAULT
from recordlayer_server.operation.tenant_calls import TenantCalls, Throttled, Who
from recordlayer_server.places import DEVELOPMENT, PRIVATE, Tenant
from recordlayer_server.security.identity import Identity

ANA, BO = (Tenant("shop", DEVELOPMENT, PRIVATE, user) for user in ("ana", "bo"))
LOOKUP, MODIFY = (Who(Identity("token:phone"), method) for method in ("Lookup", "Modify"))


class Shares:
    def __init__(self, *, rate: float, concurrent: int = 0) -> None:
        self.now = 100.0
        self.calls = TenantCalls(rate=rate, concurrent=concurrent, clock=lambda: self.now)

    def refused(self, tenant: Tenant, who: Who | None = None) -> Throttled | None:
        try:
            self.calls.begin(tenant, who)
        except Throttled as refusal:
            return refusal
        self.calls.end(tenant)
        return None


def test_who_was_refused_is_told_again_without_taking_anything() -> None:
    shares = Shares(rate=1)
    assert not shares.calls.pressed
    assert [shares.refused(ANA, LOOKUP) is None for _ in range(3)] == [True, True, False]
    assert shares.calls.pressed
    again = shares.calls.again(ANA, LOOKUP)
    assert again is not None
    assert (statuses.reason_of(again.status), statuses.retry_after(again.status)) == ("THROTTLED", 1.0)
    assert again.trailing == statuses.trailing(again.status)
    shares.now += 0.75
    again = shares.calls.again(ANA, LOOKUP)
    assert again is not None
    assert statuses.retry_after(again.status) == 0.25
    shares.now += 0.24
    assert shares.calls.again(ANA, LOOKUP) is not None
    shares.now += 0.011
    assert shares.calls.again(ANA, LOOKUP) is None, "it has one again"
    assert shares.refused(ANA, LOOKUP) is None, "and it was not taken by asking"


def test_who_was_not_refused_may_not_be_told_what_was_not_asked_for() -> None:
    """Whether he may ask at all is not known yet: the answer to that comes first."""
    shares = Shares(rate=1)
    for _ in range(3):
        shares.refused(ANA, LOOKUP)
    assert shares.calls.again(ANA, MODIFY) is None
    assert shares.calls.again(ANA, Who(Identity("token:other"), "Lookup")) is None
    assert shares.calls.again(BO, LOOKUP) is None
    assert shares.refused(ANA, None) is not None
    shares.now += 0.5
    assert shares.refused(ANA, MODIFY) is not None
    assert shares.calls.again(ANA, MODIFY) is not None
    shares.calls.begin(BO)


def test_what_callers_may_do_is_asked_anew_after_a_second() -> None:
    shares = Shares(rate=1e-6)
    assert shares.refused(ANA, LOOKUP) is None
    assert shares.refused(ANA, LOOKUP) is not None
    shares.now += 0.9
    assert shares.calls.again(ANA, LOOKUP) is not None
    shares.now += 0.2
    assert shares.calls.again(ANA, LOOKUP) is None
    assert not shares.calls.pressed
    assert shares.refused(ANA, LOOKUP) is not None
    assert shares.calls.again(ANA, LOOKUP) is not None


def test_too_many_at_once_are_told_again_until_one_has_ended() -> None:
    shares = Shares(rate=0, concurrent=1)
    shares.calls.begin(ANA, LOOKUP)
    assert shares.refused(ANA, LOOKUP) is not None
    assert shares.calls.again(ANA, LOOKUP) is not None
    shares.calls.end(ANA)
    assert shares.calls.again(ANA, LOOKUP) is None


@pytest.mark.parametrize(("rate", "a_second"), [(1, 10), (50, 50)])
def test_only_who_asks_far_more_often_than_it_is_told_to_is_refused_too_often(rate: float, a_second: int) -> None:
    shares = Shares(rate=rate)
    while shares.refused(ANA) is None:
        pass
    for _ in range(20 * a_second):  # as often as others are let in, or ten times a second
        shares.now += 1 / a_second
        refused = shares.refused(ANA)
        assert refused is None or not refused.often
    often = 0
    for _ in range(20 * a_second):
        shares.now += 0.1 / a_second
        refused = shares.refused(ANA)
        often += refused is not None and refused.often
    assert often > 10 * a_second
    shares.now += 60
    while (refused := shares.refused(ANA)) is None:
        pass
    assert not refused.often, "it has been quiet since"


def test_a_call_ends_for_the_database_for_which_it_began_whichever_it_turns_to() -> None:
    class OnlyAnas(Everybody):
        def check(self, asked: Asked) -> None:
            if asked.tenant != ANA:
                raise statuses.forbidden()

    shares = TenantCalls(rate=0, concurrent=1)
    for _ in range(2):
        call = Call("Move", "1", LOOKUP.identity, deadline=0, limits=DEFAULT, authority=OnlyAnas(), tenants=shares)
        call.tenant = ANA
        assert call.permit() == ANA
        with pytest.raises(statuses.Refusal):
            call.permit(at=BO)
        call.ended()
