"""The methods of a server, each wrapped once by what happens around calls.

What grpc generates for a service adds its methods to a server twice: one by one, and as a handler that is asked for a
method by its name. Only the latter is passed on: grpc waits for the next call of each method that it knows by itself in
a task of its own, and each call then wakes something for every method there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc

Wrap = Callable[[grpc.RpcMethodHandler, str], grpc.RpcMethodHandler]
"""A handler, and the name of its method, such as "/recordlayer.v1.Records/Query"."""


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """What services are added to, in the place of a server; and what the server asks for a method."""

    def __init__(self, wrap: Wrap) -> None:
        self._wrap = wrap
        self._asked: list[grpc.GenericRpcHandler] = []
        self._known: dict[str, grpc.RpcMethodHandler] = {}

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self._asked.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """They are among those of `add_generic_rpc_handlers`."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        known = self._known.get(details.method)
        return self._find(details) if known is None else known

    def _find(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        for each in self._asked:
            handler = each.service(details)
            if handler is not None:
                wrapped = self._known[details.method] = self._wrap(handler, details.method)
                return wrapped
        return None  # there is no such method; grpc says so
