"""Who may do what: rules of a TOML file, and nothing without a rule.

    [[allow]]
    who = ["role:writer", "certificate:*.shop.example"]    # names of identities, role:, user:; * fits anything
    containers = ["shop"]
    environments = ["production"]                           # both without it
    databases = ["public", "private:own"]                   # private:* is everybody's; all but those without it
    zones = ["*"]
    methods = ["read", "write"]                             # read, write, admin, or a method by its full name

    [[deny]]                                                # wins over every allow
    who = ["user:mallory"]

What a rule leaves out fits anything, but for `methods` of an allow, which has to be given, and `databases`, which means
public and one's own. The file may be replaced while the server runs.
"""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recordlayer_server.security.identity import Identity


class Right(enum.Enum):
    """What a method needs."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a call wants to do, in the words of a policy.

    environment  "development" or "production"
    scope        "public", "private" or "shared"
    user         whose database it is, of a private or shared one
    zones        all zones that it names; none if it is about the database as a whole
    method       full name, as in "/recordlayer.v1.Records/Query"
    """

    identity: Identity
    container: str
    environment: str
    scope: str
    user: str
    zones: tuple[str, ...]
    method: str
    right: Right


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is granted, and which rule said so: "allow 3", "deny 1", or "no rule"."""

    granted: bool
    rule: str


Fits = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    who: Fits
    containers: Fits
    environments: Fits
    databases: Fits
    zones: Fits | None
    """None: it does not go by zones"""
    methods: Fits

    def fits(self, request: Request) -> bool:
        """Whether the rule speaks of such a request, zones apart."""
        return (
            any(map(self.who, _names(request.identity)))
            and self.containers(request.container)
            and self.environments(request.environment)
            and any(map(self.databases, _databases(request)))
            and any(map(self.methods, (request.right.value, request.method)))
        )

    def touches(self, zones: tuple[str, ...]) -> bool:
        """Whether the rule is about one of these zones; without any, a request is about all of them."""
        return self.zones is None or not zones or any(map(self.zones, zones))


def _names(identity: Identity) -> tuple[str, ...]:
    user = (f"user:{identity.user}",) if identity.user else ()
    return (identity.name, *user, *(f"role:{role}" for role in identity.roles))


def _databases(request: Request) -> tuple[str, ...]:
    if request.scope == "public":
        return ("public",)
    named = f"{request.scope}:{request.user}"
    own = bool(request.user) and request.user == request.identity.user
    return (named, f"{request.scope}:own") if own else (named,)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in the order of the file."""

    allow: tuple[Rule, ...]
    deny: tuple[Rule, ...]

    def judge(self, request: Request) -> Decision:
        """Whether a request is granted. One with several zones is granted if each of them is."""
        for number, rule in enumerate(self.deny, 1):
            if rule.touches(request.zones) and rule.fits(request):
                return Decision(False, f"deny {number}")
        left = set(request.zones)
        for number, rule in enumerate(self.allow, 1):
            if not rule.fits(request):
                continue
            if rule.zones is None:
                return Decision(True, f"allow {number}")
            if left and not (left := {zone for zone in left if not rule.zones(zone)}):
                return Decision(True, f"allow {number}")
        return Decision(False, "no rule")

    def judge_any(self, request: Request) -> Decision:
        """Whether any rule grants a request for some zones, whichever it turns out to be about, and none denies it for
        all of them."""
        for number, rule in enumerate(self.deny, 1):
            if rule.zones is None and rule.fits(request):
                return Decision(False, f"deny {number}")
        for number, rule in enumerate(self.allow, 1):
            if rule.fits(request):
                return Decision(True, f"allow {number}")
        return Decision(False, "no rule")


def anything(_: str) -> bool:
    return True


def _everything_allowed() -> Policy:
    return Policy((Rule(anything, anything, anything, anything, None, anything),), ())


OPEN = _everything_allowed()
"""Of a server that asks nobody who they are: for one's own machine."""

_KEYS = ("who", "containers", "environments", "databases", "zones", "methods")
_ENVIRONMENTS = {"development", "production"}
_METHOD = re.compile(r"read|write|admin|\*|/[A-Za-z0-9_.]+/[A-Za-z0-9_*]+", re.ASCII)
_WHO = re.compile(r"\*|anonymous|(certificate|token|jwt|user|role):.+")
_DATABASE = re.compile(r"\*|public|(private|shared):.+")


def read_policy(contents: Sequence[bytes]) -> Policy:
    """The policy that a file holds.  Raises  ValueError that says what is wrong, and where."""
    (content,) = contents
    try:
        parsed = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not TOML: {error}") from error
    rules: dict[str, tuple[Rule, ...]] = {}
    for kind in ("allow", "deny"):
        rows = parsed.pop(kind, [])
        if not isinstance(rows, list):
            raise ValueError(f"write [[{kind}]]")
        rules[kind] = tuple(_rule(row, f"{kind} {number}", kind) for number, row in enumerate(rows, 1))
    if parsed:
        raise ValueError(f"{', '.join(sorted(parsed))}: it holds [[allow]] and [[deny]] tables and nothing else")
    return Policy(rules["allow"], rules["deny"])


def _rule(row: Any, name: str, kind: str) -> Rule:
    if not isinstance(row, dict) or not row.keys() <= set(_KEYS):
        raise ValueError(f"{name}: it may have {', '.join(_KEYS)}")
    for key, given in row.items():
        if not isinstance(given, list) or not given or not all(isinstance(item, str) for item in given):
            raise ValueError(f"{name}: {key} is a list of strings, and not an empty one")
    if "who" not in row or (kind == "allow" and "methods" not in row):
        raise ValueError(f"{name}: it needs who" + (" and methods" if kind == "allow" else ""))
    _only(row, "environments", _ENVIRONMENTS.__contains__, "development or production", name)
    _only(row, "methods", _METHOD.fullmatch, "read, write, admin, or /package.Service/Method", name)
    _only(row, "who", _WHO.fullmatch, "certificate:, token:, jwt:, user: or role: and a name, anonymous, or *", name)
    _only(row, "databases", _DATABASE.fullmatch, "public, private:own, private:USER, shared:USER, or *", name)
    if kind == "allow":
        row.setdefault("databases", ["public", "private:own"])
    tests = {key: _fits(row.get(key)) for key in _KEYS if key != "zones"}
    return Rule(**tests, zones=None if row.get("zones", ["*"]) == ["*"] else _fits(row["zones"]))


def _only(row: Mapping[str, list[str]], key: str, known: Callable[[str], object], words: str, name: str) -> None:
    for item in row.get(key, ()):
        if not known(item):
            raise ValueError(f"{name}: {key} has {item!r}: use {words}")


def _fits(patterns: Sequence[str] | None) -> Fits:
    """A test for names that one of the patterns fits; * fits any run of characters."""
    if patterns is None or "*" in patterns:
        return anything
    if not any("*" in pattern for pattern in patterns):
        return frozenset(patterns).__contains__
    joined = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    fullmatch = re.compile(joined, re.DOTALL).fullmatch
    return lambda name: fullmatch(name) is not None
