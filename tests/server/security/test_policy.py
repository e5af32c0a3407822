"""Policies: nothing without a rule, denials win, zones and databases are kept apart."""

from __future__ import annotations

from typing import Any

import pytest

from recordlayer_server.security.identity import ANONYMOUS, Identity
from recordlayer_server.security.policy import OPEN, Request, Right, read_policy

ANA = Identity("jwt:ana", "ana", frozenset({"writer"}))

RULES = b"""
[[allow]]
who = ["role:writer"]
containers = ["shop"]
environments = ["production"]
methods = ["read", "write"]

[[allow]]
who = ["user:ana"]
databases = ["private:bo"]
zones = ["shared-*", "common"]
methods = ["/recordlayer.v1.Records/Query"]

[[allow]]
who = ["certificate:*.ops.example"]
databases = ["*"]
methods = ["admin"]

[[deny]]
who = ["jwt:mallory"]

[[deny]]
who = ["*"]
databases = ["public"]
zones = ["vault"]
methods = ["read"]
"""


def request(**given: Any) -> Request:
    usual: dict[str, Any] = {
        "identity": ANA,
        "container": "shop",
        "environment": "production",
        "scope": "public",
        "user": "",
        "zones": ("main",),
        "method": "/recordlayer.v1.Records/Lookup",
        "right": Right.READ,
    }
    return Request(**{**usual, **given})


def judged(**given: Any) -> str:
    decision = read_policy([RULES]).judge(request(**given))
    assert decision.granted == decision.rule.startswith("allow")
    return decision.rule


def test_a_role_may_do_what_its_rule_says_and_no_more() -> None:
    assert judged() == "allow 1"
    assert judged(right=Right.WRITE, method="/recordlayer.v1.Records/Modify") == "allow 1"
    assert judged(right=Right.ADMIN) == "no rule"
    assert judged(container="bank") == "no rule"
    assert judged(environment="development") == "no rule"
    assert judged(identity=Identity("jwt:bo", "bo")) == "no rule"
    assert judged(identity=ANONYMOUS) == "no rule"


def test_without_a_word_on_databases_a_rule_is_about_the_public_one_and_ones_own() -> None:
    assert judged(scope="private", user="ana") == "allow 1"
    assert judged(scope="private", user="bo") == "no rule"
    assert judged(scope="private", user="") == "no rule"
    nobody = Identity("token:x", "", frozenset({"writer"}))
    assert judged(identity=nobody, scope="private", user="") == "no rule"


def test_zones_are_granted_one_by_one() -> None:
    bo = {"scope": "private", "user": "bo", "method": "/recordlayer.v1.Records/Query"}
    assert judged(**bo, zones=("common",)) == "allow 2"
    assert judged(**bo, zones=("common", "shared-7")) == "allow 2"
    assert judged(**bo, zones=("common", "other")) == "no rule"
    assert judged(**bo, zones=()) == "no rule", "the whole database is more than some zones"
    assert judged(**bo | {"method": "/recordlayer.v1.Records/Modify"}, zones=("common",)) == "no rule"


def test_a_denial_wins_and_holds_for_the_whole_database_too() -> None:
    assert judged(identity=Identity("jwt:mallory", "mallory", frozenset({"writer"}))) == "deny 1"
    assert judged(zones=("main", "vault")) == "deny 2"
    assert judged(zones=()) == "deny 2", "a query of all zones would read the vault"
    assert judged(zones=("vault",), right=Right.WRITE, method="/x.Y/Z") == "allow 1"


def test_who_is_denied_all_zones_is_refused_before_the_zones_are_known() -> None:
    def any_judged(**given: Any) -> str:
        return read_policy([RULES]).judge_any(request(**given, zones=())).rule

    assert any_judged() == "allow 1", "all but the vault may be read"
    assert any_judged(identity=Identity("jwt:mallory", "mallory", frozenset({"writer"}))) == "deny 1"
    assert any_judged(scope="private", user="bo", method="/recordlayer.v1.Records/Query") == "allow 2"
    assert any_judged(identity=Identity("jwt:bo", "bo")) == "no rule"


def test_patterns_fit_names_as_a_whole() -> None:
    ops = {"right": Right.ADMIN, "scope": "private", "user": "bo"}
    assert judged(**ops, identity=Identity("certificate:one.ops.example")) == "allow 3"
    assert judged(**ops, identity=Identity("certificate:ops.example")) == "no rule"
    assert judged(**ops, identity=Identity("certificate:one.ops.example.evil")) == "no rule"
    assert judged(**ops, identity=Identity("certificate:oneXops.example")) == "no rule", "a dot is a dot"


def test_who_cannot_pretend_to_be_a_role_by_name() -> None:
    assert judged(identity=Identity("jwt:role:writer", "role:writer")) == "no rule"


def test_an_empty_policy_grants_nothing_and_an_open_one_everything() -> None:
    assert not read_policy([b""]).judge(request()).granted
    assert OPEN.judge(request(identity=ANONYMOUS, scope="private", user="bo", zones=(), right=Right.ADMIN)).granted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[allow", "not TOML"),
        ("[allow]\n", "write [[allow]]"),
        ("[[alow]]\n", "alow: it holds [[allow]] and [[deny]] tables and nothing else"),
        ('[[allow]]\nmethods = ["read"]', "allow 1: it needs who and methods"),
        ('[[allow]]\nwho = ["*"]', "allow 1: it needs who and methods"),
        ('[[deny]]\nmethods = ["read"]', "deny 1: it needs who"),
        ('[[allow]]\nwho = "*"\nmethods = ["read"]', "allow 1: who is a list of strings, and not an empty one"),
        ('[[allow]]\nwho = []\nmethods = ["read"]', "allow 1: who is a list of strings, and not an empty one"),
        ('[[allow]]\nwho = ["*"]\nmethods = ["delete"]', "allow 1: methods has 'delete': use read, write, admin"),
        ('[[allow]]\nwho = ["ana"]\nmethods = ["read"]', "allow 1: who has 'ana': use certificate:"),
        ('[[allow]]\nwho = ["*"]\nmethods = ["read"]\nzone = ["a"]', "allow 1: it may have who, containers"),
        ('[[deny]]\nwho = ["*"]\nenvironments = ["prod"]', "deny 1: environments has 'prod': use development"),
        ('[[deny]]\nwho = ["*"]\ndatabases = ["mine"]', "deny 1: databases has 'mine': use public, private:own"),
    ],
)
def test_a_policy_that_does_not_say_what_it_means_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=".") as caught:
        read_policy([text.encode()])
    assert str(caught.value).startswith(problem)
