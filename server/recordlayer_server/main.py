"""`recordlayer-server`: reads the settings, opens the database, serves until it is told to stop.

    recordlayer-server --db file:shop.rl             serve on 127.0.0.1:50051
    recordlayer-server health                        ask it how it is

SIGTERM and SIGINT stop it gracefully; a second one at once. SIGUSR1 writes the stacks of all tasks and threads to the
log. Exit status: 0 stopped and every call had its answer, or the health is good; 1 calls were cut off, or the health is
bad; 2 it did not start.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, TextIO

from recordlayer import aio
from recordlayer.errors import LibraryMissing, RecordLayerError
from recordlayer_server import logs
from recordlayer_server.config import Config
from recordlayer_server.loading import load
from recordlayer_server.settings import PREFIX, SETTINGS


def main(
    arguments: Sequence[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    out: TextIO | None = None,
) -> int:
    """Run the command; the exit status."""
    environment = os.environ if environment is None else environment
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "health":
            return _health(parsed, environment, sys.stdout if out is None else out)
        flags = {name: value for name, value in vars(parsed).items() if name != "command"}
        return asyncio.run(serve(load(flags, environment)))
    except RecordLayerError as error:
        print(f"recordlayer-server: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recordlayer-server",
        description="Serve record stores over gRPC. Every setting may also stand in the environment, as "
        f"{PREFIX}NAME, or in the TOML file of --config, as name; a flag wins over the one, and that over the other.",
    )
    parser.add_argument("--version", action="version", version=version("recordlayer"))
    parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="a TOML file with settings")
    for setting in SETTINGS:
        about = f"{setting.about} (default: {setting.default})" if setting.default != "" else setting.about
        if setting.kind is bool:
            parser.add_argument(
                setting.flag, nargs="?", const="true", metavar="true|false", default=argparse.SUPPRESS, help=about
            )
        else:
            parser.add_argument(
                setting.flag, metavar=setting.kind.__name__.upper(), default=argparse.SUPPRESS, help=about
            )
    commands = parser.add_subparsers(dest="command", metavar="health")
    summary = "ask a running server how it is"
    asking = commands.add_parser("health", help=summary, description=summary)
    asking.add_argument("--address", help="HOST:PORT; without it, where the environment says that the server listens")
    asking.add_argument("--service", default="", help='"" or ready: takes calls; live: the process answers')
    asking.add_argument("--timeout", type=float, default=3.0, help="seconds to wait for the answer")
    asking.add_argument("--ca", help="PEM file: who signed the server's certificate; turns TLS on")
    asking.add_argument("--certificate", help="PEM file: the certificate to show")
    asking.add_argument("--key", help="PEM file: its key")
    asking.add_argument("--server-name", help="the name in the server's certificate, if the address is another")
    return parser


def _health(parsed: argparse.Namespace, environment: Mapping[str, str], out: TextIO) -> int:
    need_grpc()
    from recordlayer_server import probe

    return probe.run(parsed, environment, out)


async def serve(config: Config) -> int:
    """Serve until a signal comes; the exit status.  Raises  CannotListen, LibraryMissing, and what opening raises."""
    need_grpc()
    from recordlayer_server.databases import Databases
    from recordlayer_server.limits import Limits
    from recordlayer_server.operation import stacks
    from recordlayer_server.operation.around import around_of, observer_of
    from recordlayer_server.services import services
    from recordlayer_server.serving import Serving
    from recordlayer_server.upkeep import upkeep

    logs.configure(config.log_level, config.log_format)
    if config.showing.fdb_trace is not None:  # the client reads it when the first cluster is opened
        os.environ["FDB_NETWORK_OPTION_TRACE_ENABLE"] = str(config.showing.fdb_trace.resolve())
    around = around_of(config)
    async with (
        aio.open(config.db, observer=observer_of(config, around), **_opening(config.db)) as database,
        AsyncExitStack() as beside,
    ):
        load = config.load
        limits = Limits(
            deletions_kept=config.deletions_kept,
            asset_bytes=config.asset_bytes,
            asset_kept=config.asset_kept,
            targets_per_server=load.watch_targets,
            targets_per_database=load.tenant_watch_targets,
            transactions_per_server=load.transactions,
            transactions_per_database=load.tenant_transactions,
        )
        clusters = {
            name: Databases(
                await beside.enter_async_context(aio.open(url, **_opening(url))),
                hooks=config.hooks,
                formats=config.formats,
            )
            for name, url in config.clusters.items()
        }
        databases = Databases(
            database,
            limits=limits,
            counted=load.tenant_limits,
            storage=load.tenant_storage,
            hooks=config.hooks,
            clusters=clusters,
            lease=config.lease,
            formats=config.formats,
        )
        serving = Serving(config, database, services=services(databases), around=around, limits=limits)
        stop, hurry = asyncio.Event(), asyncio.Event()
        _on_signals(stop, hurry)
        stacks.show_when_asked(asyncio.get_running_loop())
        beside_calls = upkeep(databases, config.containers, metrics=around.metrics, authority=around.authority)
        await beside.enter_async_context(beside_calls)
        address = await serving.start()
        settle()
        logs.write(
            logs.server,
            logging.INFO,
            "listening",
            address=str(address),
            admin=str(serving.admin_address or ""),
            db=config.db,
            tls=config.tls is not None,
            metrics=str(serving.metrics_address or ""),
            pid=os.getpid(),
            version=version("recordlayer"),
        )
        await stop.wait()
        return 1 if await serving.drain(hurry) else 0


def settle() -> None:
    """Keep the garbage collector away from what is there now: modules, schemas and services live as long as the process
    does, and looking through them again and again was 3 to 10 % of a look-up's time without the network."""
    gc.collect()
    gc.freeze()


def _opening(url: str) -> dict[str, Any]:
    """A cluster that is away just now is a matter of health, and not a reason to refuse to start."""
    return {"connect_timeout": 0} if url.startswith("fdb:") else {}


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)


def need_grpc() -> None:
    needed = ("grpc", "grpc_health", "grpc_reflection", "jwt", "prometheus_client")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise LibraryMissing(libraries=missing, hint='pip install "recordlayer[server]"')


if __name__ == "__main__":
    sys.exit(main())
