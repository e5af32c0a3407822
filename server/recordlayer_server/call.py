"""What is known of one call: who calls, for which database, until when.

`Calls` makes a Call for every call before its handler runs, and `current()` gives it to whoever works on it. Who calls
is what `Identify` finds out, and what they may do what an `Authority` says; a handler asks it in one place, `permit`,
as soon as it knows which zones the request is about.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from google.protobuf.message import DecodeError, Message

from recordlayer.client.pb import context_pb2
from recordlayer.options import Priority, TransactionOptions
from recordlayer_server import statuses
from recordlayer_server.limits import Limits
from recordlayer_server.operation.tenant_calls import TenantCalls, Who
from recordlayer_server.places import PRIVATE, PUBLIC, Tenant
from recordlayer_server.security.identity import Identity

if TYPE_CHECKING:
    from recordlayer_server.running_calls import RunningCalls

WORD = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


Identify = Callable[[Sequence[tuple[str, str | bytes]], Mapping[str, Iterable[bytes]]], Awaitable[Identity]]
"""Finds out who calls, from the metadata of the call and what its connection is authenticated by: `Gate.identify`."""


class Asked(NamedTuple):
    """What somebody wants to do. `zones` are "" for the default one; none where it is about the whole database.

    method  such as "/recordlayer.v1.Records/Query"
    """

    identity: Identity
    tenant: Tenant
    zones: Sequence[str]
    method: str


class Authority(Protocol):
    """Says what callers may do."""

    def check(self, asked: Asked) -> None:
        """Raises  Refusal: `statuses.forbidden()`, the same whether it is there or not."""
        ...

    def check_any(self, asked: Asked) -> None:
        """The same of who may do it in no zone at all, before it is known which zones it is about."""
        ...


class Everybody:
    """Lets everybody do everything: behind an address that only this machine reaches, or what guards it in front."""

    def check(self, asked: Asked) -> None:
        pass

    def check_any(self, asked: Asked) -> None:
        pass


class Call:
    """One call while it runs."""

    __slots__ = (
        "_authority",
        "_paged",
        "_tenants",
        "announces",
        "begun",
        "beside",
        "container",
        "context",
        "deadline",
        "device",
        "follows",
        "forced",
        "identity",
        "keys_read",
        "keys_written",
        "labels",
        "limits",
        "method",
        "priority",
        "refused",
        "request_id",
        "send_as_it_is",
        "stopping",
        "tenant",
    )

    def __init__(
        self,
        method: str,
        request_id: str,
        identity: Identity,
        *,
        deadline: float,
        limits: Limits,
        authority: Authority,
        tenants: TenantCalls | None = None,
        stopping: asyncio.Event | None = None,
        beside: RunningCalls | None = None,
        paged: Callable[[str, str], None] | None = None,
        send_as_it_is: Callable[[], None] = lambda: None,
    ) -> None:
        self.method = method
        self.request_id = request_id
        self.identity = identity
        self.deadline = deadline
        """On the clock of the event loop."""
        self.limits = limits
        self._authority = authority
        self._tenants = tenants
        self._paged = paged
        self.send_as_it_is = send_as_it_is
        """Keep the next message from being compressed."""
        self.stopping = stopping if stopping is not None else asyncio.Event()
        """Set when the server begins to stop: what would go on for ever ends then."""
        self.beside = beside
        """All that run on the server, if that is known."""
        self.follows = 0
        """How many zones it watches."""
        self.announces: tuple[tuple[str, str], ...] = ()
        """Metadata that goes with the answer, about what it uses that will go."""
        self.begun: Tenant | None = None
        """Among whose calls it counts; another database that it turns to later does not count it."""
        self.refused = False
        """Whether it is refused because its tenant has too many: it may be a while until that is told."""
        self.keys_read = self.keys_written = 0
        self.forced = 0
        """Operations that do not say which state of their record they know."""
        self.context = _NO_CONTEXT
        self.container = ""
        self.tenant: Tenant | None = None
        self.priority: int = context_pb2.INTERACTIVE
        self.labels: Mapping[str, str] = {}
        self.device = ""

    def bind(self, context: context_pb2.RequestContext) -> None:
        """Take over what a request says of itself.  Raises  Refusal."""
        self.context = context
        if context.request_id:
            if not WORD.fullmatch(context.request_id):
                raise statuses.bad_request("context.request_id", "at most 64 of A-Z a-z 0-9 . _ -")
            self.request_id = context.request_id
        if context.labels:
            self._label(context.labels)
        if context.priority:
            self.priority = context.priority
        self.container = container = context.container
        if container:
            database = context.database
            user = database.user or self.identity.user
            self.tenant = _tenant(container, context.environment, database.scope, user, self.limits.name_bytes)

    def _label(self, labels: Mapping[str, str]) -> None:
        longest = self.limits.label_bytes
        if len(labels) > self.limits.labels or any(
            len(text.encode()) > longest for pair in labels.items() for text in pair
        ):
            raise statuses.bad_request("context.labels", f"at most {self.limits.labels}, of at most {longest} bytes")
        self.labels = labels

    def permit(self, zones: Iterable[str] = (), *, method: str = "", at: Tenant | None = None) -> Tenant:
        """The database that the request is about, if the caller may do this there. `method`: what a step of a longer
        call would be by itself; `at`: the database, where something else than the context says it.  Raises  Refusal."""
        if self.tenant is None:
            raise statuses.bad_request("context.container", "name the container")
        if at is not None:
            self.tenant = at
        self._authority.check(Asked(self.identity, self.tenant, tuple(zones), method or self.method))
        if self._tenants is not None and self.begun is None:
            self._tenants.begin(self.tenant, None if at is not None or method else Who(self.identity, self.method))
            self.begun = self.tenant
        return self.tenant

    def permit_any(self) -> Tenant:
        """The database that the request is about, if the caller may do this anywhere in it. For what has to be looked
        up before its zones are known: strangers are refused without a look, so that the time it takes tells them
        nothing. `permit` follows.  Raises  Refusal."""
        if self.tenant is None:
            raise statuses.bad_request("context.container", "name the container")
        self._authority.check_any(Asked(self.identity, self.tenant, (), self.method))
        return self.tenant

    @property
    def line(self) -> Hashable:
        """With whom it waits for its turn: with the calls of its database, or with its caller's own, if that one may do
        nothing there. Else strangers would take the turns of a database by naming it."""
        try:
            return None if self.tenant is None else self.permit_any()
        except statuses.Refusal:
            return self.identity

    def permit_everywhere(self, *, method: str = "") -> tuple[str, int]:
        """The container and environment that the request is about, if the caller may do this in all databases there,
        the public one and those of all users. `method`: what else it does.  Raises  Refusal."""
        if self.tenant is None:
            raise statuses.bad_request("context.container", "name the container")
        for scope in (PUBLIC, PRIVATE):
            # No user: a rule for one's own database does not fit, nor one for that of somebody else.
            everybody = Tenant(self.tenant.container, self.tenant.environment, scope, "")
            self._authority.check(Asked(self.identity, everybody, (), method or self.method))
        return self.tenant.container, self.tenant.environment

    def permit_server(self) -> None:
        """Nothing, if the caller may do this whatever it is about: by a rule that names no container and no
        environment.  Raises  Refusal."""
        for scope in (PUBLIC, PRIVATE):
            self._authority.check(Asked(self.identity, Tenant("", 0, scope, ""), (), self.method))

    def page_ended(self, end_reason: int, *, full: bool) -> None:
        """A page of it has ended. `full`: since the reply had no room, which callers are told as RECORD_LIMIT."""
        if self._paged is not None:
            self._paged(self.method, "reply_full" if full else context_pb2.EndReason.Name(end_reason).lower())

    def ended(self) -> None:
        """The call has ended: another one of its tenant may begin."""
        if self._tenants is not None and self.begun is not None:
            self._tenants.end(self.begun)
            self.begun = None

    @property
    def time_left(self) -> float:
        """Seconds until the deadline; below 0 behind it."""
        return self.deadline - asyncio.get_running_loop().time()

    @property
    def is_usual(self) -> bool:
        """Whether it asks for nothing of its own about its transactions: then they may be those of others, too."""
        return self.priority != context_pb2.BATCH and not self.context.HasField("consistency")

    def options(self, *, reads_only: bool) -> TransactionOptions:
        """What the call says about its transactions. Its deadline is not among it: a call whose time is up is cancelled
        where it waits, and what it waits for with it."""
        priority = Priority.BATCH if self.priority == context_pb2.BATCH else Priority.DEFAULT
        if not reads_only or not self.context.HasField("consistency"):
            return _options(self.method, priority)
        asked = self.context.consistency
        wanted = min(asked.max_staleness.ToMilliseconds(), 60_000)
        return TransactionOptions(
            name=self.method,
            priority=priority,
            staleness=timedelta(milliseconds=wanted) if wanted > 0 else None,
            at_least=max(0, asked.minimum_version) if wanted > 0 else 0,
            causal_read_risky=asked.causal_read_risky,
        )


@lru_cache(maxsize=10_000)
def _tenant(container: str, environment: int, scope: int, user: str, longest: int) -> Tenant:
    """The database that a request names; `user`: whose it is, or who calls.  Raises  Refusal."""
    if len(container.encode()) > longest or "\0" in container:
        raise statuses.bad_request("context.container", f"at most {longest} bytes")
    environment = environment or context_pb2.DEVELOPMENT
    if environment not in (context_pb2.DEVELOPMENT, context_pb2.PRODUCTION):
        raise statuses.bad_request("context.environment", "DEVELOPMENT or PRODUCTION")
    if scope in (PUBLIC, context_pb2.Database.SCOPE_UNSPECIFIED):
        return Tenant(container, environment, PUBLIC, "")
    if scope != PRIVATE:
        raise statuses.bad_request("context.database.scope", "PUBLIC or PRIVATE")
    if not user or len(user.encode()) > longest or "\0" in user:
        raise statuses.bad_request("context.database.user", f"1 to {longest} bytes: whose database it is")
    return Tenant(container, environment, PRIVATE, user)


@lru_cache(maxsize=256)
def _options(method: str, priority: Priority) -> TransactionOptions:
    # Who is refused with CONTENTION is told about what.
    return TransactionOptions(name=method, priority=priority, report_conflicts=True)


_NO_CONTEXT = context_pb2.RequestContext()
_CURRENT: ContextVar[Call] = ContextVar("recordlayer_server.call")


def current() -> Call:
    """The call that runs here."""
    return _CURRENT.get()


def enter(call: Call) -> None:
    """Let this call be the one that runs in this task."""
    _CURRENT.set(call)


def context_of(request: Message) -> context_pb2.RequestContext | None:
    """What a request says of itself; None for messages that are not this service's."""
    context = getattr(request, "context", None)
    if context is None and hasattr(request, "query"):
        context = getattr(request.query, "context", None)
    return context if isinstance(context, context_pb2.RequestContext) else None


def ahead_of(request: bytes) -> context_pb2.RequestContext:
    """What a request says of itself at its beginning, where writers of messages put a first field; nothing if it is not
    there, or cannot be read. All requests have it there: `context = 1`."""
    end, length, shift = 1, 0, 0
    while request[:1] == b"\x0a" and end < min(len(request), 6):
        byte = request[end]
        length |= (byte & 0x7F) << shift
        end, shift = end + 1, shift + 7
        if byte < 0x80:
            try:
                return context_pb2.RequestContext.FromString(request[end : end + length])
            except DecodeError:
                break
    return _NO_CONTEXT
