"""What callers may do, by the policy of the operator: asked once for each call, as soon as its zones are known.

Every decision is logged: refusals as information, grants for debugging. Who is refused is told the same as if nothing
were there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from recordlayer.client.pb import context_pb2
from recordlayer_server import logs, statuses
from recordlayer_server.security.policy import Decision, Policy, Request, Right

if TYPE_CHECKING:
    from recordlayer_server.call import Asked

_RECORDS, _ZONES, _SYNC = "/recordlayer.v1.Records/", "/recordlayer.v1.Zones/", "/recordlayer.v1.Sync/"
_SCHEMA = "/recordlayer.v1.Schema/"
_SUBSCRIPTIONS = "/recordlayer.v1.Subscriptions/"
_ADMIN = "/recordlayer.v1.Admin/"
_ASSETS = "/recordlayer.v1.Assets/"

RIGHTS: Mapping[str, Right] = {
    **{_RECORDS + name: Right.READ for name in ("Lookup", "Query", "QueryStream", "Aggregate", "Explain", "Partition")},
    **{_RECORDS + name: Right.WRITE for name in ("Modify", "ModifyStream")},
    **{_ZONES + name: Right.READ for name in ("List", "Lookup")},
    _ZONES + "Modify": Right.WRITE,
    "/recordlayer.v1.Transactions/Transact": Right.READ,  # and each step what it needs by itself
    **{_SYNC + name: Right.READ for name in ("DatabaseChanges", "ZoneChanges", "Watch")},
    **{_SUBSCRIPTIONS + name: Right.READ for name in ("List", "Receive")},
    _ASSETS + "Download": Right.READ,
    **{_ASSETS + name: Right.WRITE for name in ("BeginUpload", "Upload")},
    **{_SUBSCRIPTIONS + name: Right.WRITE for name in ("Create", "Delete", "Resume")},
    _SCHEMA + "Get": Right.READ,
    **{_SCHEMA + name: Right.ADMIN for name in ("Validate", "Apply", "Promote", "Withdraw", "ListVersions")},
    **{
        _ADMIN + name: Right.ADMIN
        for name in (
            *("ListContainers", "ListStores", "GetDatabase", "LockDatabase", "UnlockDatabase"),
            *("ListIndexes", "ListViolations"),
            *("BuildIndexes", "ScrubIndexes", "RepairRecords", "DropIndexes"),
            *("GetUsage", "SetLimits", "ExportDatabase", "ImportDatabase", "DeleteDatabase", "MoveDatabase"),
            *("GetOperation", "WaitOperation", "ListOperations"),
            *("CancelOperation", "PauseOperation", "ResumeOperation", "ThrottleOperation"),
            *("ListServers", "ListConnections", "ListCalls", "EndCalls"),
        )
    },
}
"""What each method needs. One that is not here needs `admin`: who adds a method and forgets it has closed it."""

_AUDITED = frozenset({_ZONES + "Modify", *(_SUBSCRIPTIONS + name for name in ("Create", "Delete", "Resume"))})


def is_audited(method: str) -> bool:
    """Whether calls are written to the audit log: those that need `admin`, and those that make and
    delete zones and subscriptions, or resume these."""
    return method in _AUDITED or (method.startswith("/recordlayer.v1.") and RIGHTS.get(method) is Right.ADMIN)


_ENVIRONMENTS: Mapping[int, str] = {context_pb2.DEVELOPMENT: "development", context_pb2.PRODUCTION: "production"}


class ByPolicy:
    """Asks the policy as it is now."""

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._policy = policy

    def check(self, asked: Asked) -> None:
        """Raises  Refusal: `statuses.forbidden()`."""
        self._go_by(asked, Policy.judge)

    def check_any(self, asked: Asked) -> None:
        """Raises  Refusal: `statuses.forbidden()`."""
        self._go_by(asked, Policy.judge_any)

    def _go_by(self, asked: Asked, judge: Callable[[Policy, Request], Decision]) -> None:
        tenant = asked.tenant
        request = Request(
            identity=asked.identity,
            container=tenant.container,
            environment=_ENVIRONMENTS.get(tenant.environment, ""),
            scope=context_pb2.Database.Scope.Name(tenant.scope).lower(),
            user=tenant.user,
            zones=tuple(asked.zones),
            method=asked.method,
            right=RIGHTS.get(asked.method, Right.ADMIN),
        )
        decision = judge(self._policy(), request)
        level = logging.DEBUG if decision.granted else logging.INFO
        logs.write(
            logs.server,
            level,
            "granted" if decision.granted else "refused",
            identity=asked.identity.name,
            method=asked.method,
            container=tenant.container,
            rule=decision.rule,
        )
        if not decision.granted:
            raise statuses.forbidden()
