"""What the library and the server need of others: named here, each with its reason, and nothing else is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib

from tests.house.tree import python, read

PROJECT = tomllib.loads(read("pyproject.toml"))["project"]

REQUIRED = {
    "lmdb": "the embedded engine's file",
    "protobuf": "records are its messages",
}
OPTIONAL = {
    "fdb": {"foundationdb"},
    "client": {"googleapis-common-protos", "grpcio", "protobuf"},
    "server": {"grpcio-health-checking", "grpcio-reflection", "pyjwt"},
    "cli": {"click", "prompt-toolkit", "rich"},
    "otel": {"opentelemetry-api"},
    "prometheus": {"prometheus-client"},
    "encryption": {"cryptography"},
}
"""What each extra for users adds. The others (demo, bench, test, fuzz, audit, dev) are for working on the project."""

IMPORTED = {
    "click": "click",
    "cryptography": "cryptography",
    "fdb": "foundationdb",
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "jwt": "pyjwt",
    "lmdb": "lmdb",
    "opentelemetry": "opentelemetry-api",
    "prometheus_client": "prometheus-client",
    "prompt_toolkit": "prompt-toolkit",
    "rich": "rich",
}
"""By the name that it is imported by, what has to be installed."""

TESTING = {"hypothesis", "pytest"}
"""For `recordlayer.testing` only, whose users have them."""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=! ]", one, maxsplit=1)[0].lower() for one in requirements}


def imported(*folders: str) -> set[str]:
    found = set()
    for name in python(*folders):
        for node in ast.walk(ast.parse(read(name))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    shortened = {".".join(one.split(".")[: 2 if one.startswith("google.") else 1]) for one in found}
    return shortened - set(sys.stdlib_module_names) - {"recordlayer", "recordlayer_server"}


def test_the_library_needs_what_is_named_and_each_extra_adds_what_is_named() -> None:
    assert names(PROJECT["dependencies"]) == set(REQUIRED)
    extras = {extra: names(needs) - {"recordlayer"} for extra, needs in PROJECT["optional-dependencies"].items()}
    assert {extra: extras[extra] for extra in OPTIONAL} == OPTIONAL
    assert extras.keys() - OPTIONAL.keys() == {"demo", "bench", "test", "fuzz", "audit", "dev"}


def test_nothing_is_imported_that_is_not_named_and_nothing_is_named_for_nobody() -> None:
    found = imported("recordlayer/", "server/")
    assert found - TESTING <= IMPORTED.keys()
    assert {IMPORTED[name] for name in found - TESTING} | {"foundationdb"} == set(REQUIRED).union(*OPTIONAL.values())
    outside = [name for name in python("recordlayer/", "server/") if not name.startswith("recordlayer/testing/")]
    assert not TESTING & imported(*outside)


def test_the_page_on_security_names_what_everybody_has() -> None:
    assert all(name in read("SECURITY.md") for name in REQUIRED)
