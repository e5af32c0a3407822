"""The schema as the project file names it: a .proto file with annotations, a descriptor set, or a builder module."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from recordlayer.cli.project import Project
from recordlayer.errors import InvalidSchemaSource
from recordlayer.metadata import RecordMetaData, RecordMetaDataBuilder
from recordlayer.pb.paths import include_path

_KINDS = ("builder", "proto", "descriptor_set")
_SECONDS = 120


def wanted(project: Project) -> RecordMetaData:
    """The metadata of the schema.

    Raises  InvalidSchemaSource; what building the metadata raises.
    """
    source = project.source
    kinds = [kind for kind in _KINDS if kind in source]
    strange = source.keys() - {*_KINDS, "proto_path", "file"}
    if len(kinds) != 1 or strange:
        hint = f"[schema] has one of {', '.join(_KINDS)}; proto_path goes with proto, file with descriptor_set"
        raise InvalidSchemaSource(found=sorted(source), hint=hint)
    named = source[kinds[0]]
    if not isinstance(named, str) or not named:
        raise InvalidSchemaSource(key=kinds[0], got=named, hint="give a text")
    if kinds[0] == "builder":
        return from_module(named, project.folder)
    if kinds[0] == "proto":
        return _from_set(compiled(project.folder / named, project.folder, source.get("proto_path", ["."])), None)
    return _from_set(_bytes(project.folder / named), source.get("file"))


def _from_set(data: bytes, file: str | None) -> RecordMetaData:
    return RecordMetaDataBuilder.from_descriptor_set(data, file=file).build()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSchemaSource(file=str(path), reason=str(error)) from error


def from_module(named: str, folder: Path) -> RecordMetaData:
    """What `module:NAME` is: metadata, a builder of one, or a function that gives either.

    Raises  InvalidSchemaSource.
    """
    module, _, name = named.partition(":")
    if not module or not name:
        raise InvalidSchemaSource(builder=named, hint='give a module and a name in it: "shop.schema:SHOP"')
    sys.path.insert(0, str(folder))
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise InvalidSchemaSource(builder=named, reason=f"the module has no {name}") from error
    except ImportError as error:
        raise InvalidSchemaSource(builder=named, folder=str(folder), reason=str(error)) from error
    finally:
        sys.path.remove(str(folder))
    if callable(found) and not isinstance(found, (RecordMetaData, RecordMetaDataBuilder)):
        found = found()
    if isinstance(found, RecordMetaDataBuilder):
        found = found.build()
    if not isinstance(found, RecordMetaData):
        hint = "it must be RecordMetaData, a RecordMetaDataBuilder, or a function that gives one"
        raise InvalidSchemaSource(builder=named, got=type(found).__name__, hint=hint)
    return found


def compiled(file: Path, folder: Path, roots: Any) -> bytes:
    """The descriptor set of a .proto file and all that it imports, by protoc.

    Raises  InvalidSchemaSource: no protoc, or what protoc says.
    """
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise InvalidSchemaSource(proto_path=roots, hint='give folders: proto_path = ["."]')
    if not file.is_file():
        raise InvalidSchemaSource(file=str(file), reason="there is no such file")
    if importlib.util.find_spec("grpc_tools") is not None:
        protoc = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc"]
        well_known = importlib.util.find_spec("grpc_tools")
        origin = None if well_known is None else well_known.origin
        extra = [] if origin is None else [f"-I{Path(origin).parent / '_proto'}"]
    elif (found := shutil.which("protoc")) is not None:
        protoc, extra = [found], []
    else:
        hint = "pip install grpcio-tools, or install protoc, or give descriptor_set= of a build that has one"
        raise InvalidSchemaSource(file=str(file), reason="no protoc is installed", hint=hint)
    paths = [f"-I{folder / root}" for root in roots]
    with tempfile.TemporaryDirectory() as made:
        target = Path(made) / "set.binpb"
        options = ["--include_imports", f"--descriptor_set_out={target}"]
        command = [*protoc, *paths, f"-I{include_path()}", *extra, *options, str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise InvalidSchemaSource(file=str(file), reason="protoc does not end") from error
        if done.returncode:
            raise InvalidSchemaSource(file=str(file), reason=done.stderr.strip(), hint="protoc says what is wrong")
        return target.read_bytes()
