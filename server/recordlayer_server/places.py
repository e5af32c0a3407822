"""Where everything lies: the key space of the service.

"recordlayer"                      a constant, so that the service shares a database with whatever else is there
  "server"                         a store with what the servers keep: the keys of seals
  "rollouts"                       a store with the servers that live, and the schemas that are to become active
  "webhooks"                       a store with the webhooks that there are, and who serves them
  "operations"                     a store with what operators let be done: builds, scrubs, repairs
  (container, interned)
    1 development, 2 production
      0                            the container's metadata, as Java's FDBMetaDataStore keeps it
      1                            the public database
      2 (user, interned)           a private database
        0                          its records: one record store
        1                          its zones: another one
        2                          its subscriptions: a third
        3                          the records that their queries hold for: a fourth
        4                          its assets: a fifth
        5                          how the webhooks of its subscriptions do: a sixth
      8                            a store with where the versions of the metadata came from
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from recordlayer.client.pb import context_pb2
from recordlayer.keyspace import InternedDirectory, KeySpace, KeySpaceDirectory, KeySpacePath

DEVELOPMENT, PRODUCTION = context_pb2.DEVELOPMENT, context_pb2.PRODUCTION
PUBLIC, PRIVATE = context_pb2.Database.PUBLIC, context_pb2.Database.PRIVATE


EVERY = context_pb2.Database.SCOPE_UNSPECIFIED


class Tenant(NamedTuple):
    """One database of one container in one environment. `user` is empty for the public database.

    The scope EVERY stands for all databases of the environment, where something is about them together.
    """

    container: str
    environment: int
    scope: int
    user: str


@lru_cache(maxsize=10_000)
def label(tenant: Tenant) -> str:
    """A database in a word, for logs and numbers."""
    environment = "production" if tenant.environment == PRODUCTION else "development"
    database = "*" if tenant.scope == EVERY else f"private/{tenant.user}" if tenant.user else "public"
    return f"{tenant.container}/{environment}/{database}"


def everywhere(container: str, environment: int) -> Tenant:
    """All databases of an environment."""
    return Tenant(container, environment, EVERY, "")


KINDS = ("records", "zones", "subscriptions", "matches", "assets", "deliveries")
"""Of stores of a database, by their numbers."""


def _stores() -> tuple[KeySpaceDirectory, ...]:
    return tuple(KeySpaceDirectory(kind, int, value=number) for number, kind in enumerate(KINDS))


SPACE = KeySpace(
    KeySpaceDirectory(
        "service",
        str,
        KeySpaceDirectory("server", str, value="server"),
        KeySpaceDirectory("rollouts", str, value="rollouts"),
        KeySpaceDirectory("webhooks", str, value="webhooks"),
        KeySpaceDirectory("operations", str, value="operations"),
        InternedDirectory(
            "container",
            KeySpaceDirectory(
                "environment",
                int,
                KeySpaceDirectory("metadata", int, value=0),
                KeySpaceDirectory("public", int, *_stores(), value=1),
                KeySpaceDirectory("private", int, InternedDirectory("user", *_stores()), value=2),
                KeySpaceDirectory("schemas", int, value=8),
            ),
        ),
        value="recordlayer",
    )
)


def of_server() -> KeySpacePath:
    return SPACE.path("service").add("server")


def of_rollouts() -> KeySpacePath:
    return SPACE.path("service").add("rollouts")


def of_webhooks() -> KeySpacePath:
    return SPACE.path("service").add("webhooks")


def of_operations() -> KeySpacePath:
    return SPACE.path("service").add("operations")


def of_schemas(container: str, environment: int) -> KeySpacePath:
    """Where the versions of the metadata came from."""
    return of_environment(container, environment).add("schemas")


def of_metadata(container: str, environment: int) -> KeySpacePath:
    return of_environment(container, environment).add("metadata")


def of_database(tenant: Tenant) -> KeySpacePath:
    if tenant.scope == PUBLIC:
        return of_environment(tenant.container, tenant.environment).add("public")
    return of_users(tenant.container, tenant.environment).add("user", tenant.user)


def of_users(container: str, environment: int) -> KeySpacePath:
    """What private databases lie below."""
    return of_environment(container, environment).add("private")


def of_environment(container: str, environment: int) -> KeySpacePath:
    return SPACE.path("service").add("container", container).add("environment", environment)
