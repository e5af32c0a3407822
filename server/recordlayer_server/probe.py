"""`recordlayer-server health`: asks a server how it is, for container health checks and scripts.

Exit status: 0 it serves, 1 it does not or nobody answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from recordlayer.errors import InvalidSettings
from recordlayer_server.config import Address
from recordlayer_server.settings import BY_NAME

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a server listens, and where to find it from here


def run(arguments: argparse.Namespace, environment: Mapping[str, str], out: TextIO) -> int:
    address = _address(arguments.address, environment)
    with _channel(arguments, address) as channel:
        request = health_pb2.HealthCheckRequest(service=arguments.service)
        try:
            status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=arguments.timeout).status
        except grpc.RpcError as error:
            print(f"{address}: {error.code().name}: {error.details()}", file=out)
            return 1
    print(f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}", file=out)
    return 0 if status == health_pb2.HealthCheckResponse.SERVING else 1


def _address(given: str | None, environment: Mapping[str, str]) -> Address:
    listen = BY_NAME["listen"]
    text = given or environment.get(listen.variable) or str(listen.default)
    try:
        address = Address.parse(text)
    except ValueError as error:
        raise InvalidSettings(problems=(f"address = {text!r}: {error}",)) from None
    return Address(_ANYWHERE.get(address.host, address.host), address.port)


def _channel(arguments: argparse.Namespace, address: Address) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0)]
    if arguments.ca is None:
        return grpc.insecure_channel(str(address), options=options)
    if arguments.server_name:
        options.append(("grpc.ssl_target_name_override", arguments.server_name))
    try:
        ca, certificate, key = (
            None if path is None else Path(path).read_bytes()
            for path in (arguments.ca, arguments.certificate, arguments.key)
        )
    except OSError as error:
        raise InvalidSettings(problems=(f"{error.filename}: {error.strerror}",)) from None
    return grpc.secure_channel(str(address), grpc.ssl_channel_credentials(ca, key, certificate), options=options)
