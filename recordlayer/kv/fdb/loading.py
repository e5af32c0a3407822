"""Finding and checking FoundationDB's Python package and its native client library, on first use.

What can be wrong is found before an API version is selected, which the package can do only once in a process: after a
failure the cure can be applied and the cluster opened again, in the same process.

    package missing         EngineMissing, with the line that installs it
    library missing         EngineMissing, naming the package of the operating system that brings it
    library older than      EngineMissing, with the line that installs the package for this library: the package refuses
    the package             libraries older than itself
    another API version     EngineError: the program has selected one that is too old for this engine

The network thread starts with the first opening and ends with the process. It does not survive a fork.

Source  FoundationDB's api-python and api-c documentation, "API versions"; fdb/impl.py of the package.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module
from types import ModuleType
from typing import Any

from recordlayer.errors import EngineMissing, EngineUnavailable, OpenedBeforeFork
from recordlayer.kv.fdb import futures
from recordlayer.kv.fdb.native import Native, Owner

API_VERSION = 730
"""What is selected, or the package's newest if that is older."""

OLDEST_API_VERSION = 710
"""The oldest that this engine's semantics hold on, if the program itself has selected one."""

_PACKAGE = 'pip install "foundationdb>=7.3,<7.4"'
_LIBRARY_HINT = (
    "install the FoundationDB clients package of the cluster's release line (7.3), from "
    "https://github.com/apple/foundationdb/releases; it brings libfdb_c. A library elsewhere is found through "
    "LD_LIBRARY_PATH (DYLD_LIBRARY_PATH on macOS)"
)
_FORK_HINT = (
    "FoundationDB's client runs in a thread that a fork does not copy, and cannot be started twice: open the cluster "
    "in the child only (pre-fork servers: after the fork), or start processes with the spawn method"
)


class Client:
    """The native client of this process, with its network thread running."""

    def __init__(self, native: Native, release: str, api_version: int) -> None:
        self.native = native
        self.release = release  # of the library, such as "7.3.79"
        self.api_version = api_version
        self.owner = Owner()


_client: Client | None = None
_lock = threading.Lock()


def client() -> Client:
    """The client; found, checked and started at the first call.

    Raises  EngineMissing, EngineUnavailable, OpenedBeforeFork.
    """
    global _client
    with _lock:
        if _client is None:
            _client = _load()
        if _client.owner.forked:
            raise OpenedBeforeFork(hint=_FORK_HINT)
        return _client


def _load() -> Client:
    package = _package()
    binding = _binding()
    _check_library(package, binding)
    version = _select_api_version(package)
    _start_network(binding)
    native = Native(binding._capi._name)
    return Client(native, _release(native), version)


def _package() -> ModuleType:
    try:
        return import_module("fdb")
    except ModuleNotFoundError as error:
        raise EngineMissing(library="foundationdb", hint=f"{_PACKAGE}, or the release line of your cluster") from error


def _binding() -> Any:
    """The package's module that loads the library."""
    try:
        return import_module("fdb.impl")
    except Exception as error:  # the package raises bare Exceptions here
        raise EngineMissing(library="libfdb_c", reason=str(error), hint=_LIBRARY_HINT) from error


def _release(native: Native) -> str:
    """Only when an API version is selected: before, the library has nobody to ask."""
    text: bytes = native.get_client_version()
    return text.decode(errors="replace").partition(",")[0]


def _check_library(package: Any, binding: Any) -> None:
    """Raises  EngineMissing  when the package wants a newer library than this one."""
    speaks = int(binding._capi.fdb_get_max_api_version())
    wants = int(package.LATEST_API_VERSION)
    if wants > speaks:
        raise EngineMissing(
            library="libfdb_c",
            found=_line(speaks),
            wanted=_line(wants),
            hint=f'the package is newer than the library: pip install "foundationdb>={_line(speaks)},'
            f'<{_line(speaks + 10)}", or install the clients package of FoundationDB {_line(wants)}',
        )


def _line(api_version: int) -> str:
    """The release line that brought an API version: 7.3 for 730."""
    return f"{api_version // 100}.{api_version // 10 % 10}"


def _select_api_version(package: Any) -> int:
    if package.is_api_version_selected():
        selected = int(package.get_api_version())
        if selected < OLDEST_API_VERSION:
            raise EngineUnavailable(
                api_version=selected,
                oldest=OLDEST_API_VERSION,
                hint=f"this program selected an older API version itself: call fdb.api_version({API_VERSION}), or "
                "leave the selection to recordlayer",
            )
        return selected
    version = min(API_VERSION, int(package.LATEST_API_VERSION))
    try:
        package.api_version(version)
    except RuntimeError as error:
        raise EngineMissing(library="libfdb_c", reason=str(error), hint=_LIBRARY_HINT) from error
    return version


def _start_network(binding: Any) -> None:
    """Start the network thread, unless the program itself has."""
    with binding._network_thread_reentrant_lock:
        thread = binding._network_thread
        if thread is None:
            binding.init()
        elif not thread.is_alive():
            raise OpenedBeforeFork(hint=_FORK_HINT)


def _die_in_child() -> None:
    """After a fork: nothing inherited may be touched again, not even to close it."""
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    if _client is not None:
        _client.owner.forked = True
        futures.forget_all()
        # The package would stop the network at exit: in a child that means locks which nobody will release.
        binding: Any = import_module("fdb.impl")
        binding._network_thread = None


os.register_at_fork(after_in_child=_die_in_child)
