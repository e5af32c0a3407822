"""Where the .proto files are that other .proto files may import, and what their generated modules import then."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def include_path() -> Path:
    """The directory to hand to protoc with `-I`: it holds record_metadata_options.proto and what that imports."""
    return _HERE / "include"


def imports_path() -> Path:
    """The directory of the modules that generated modules import: the wheel has copies of them on its top level."""
    return _HERE / "imports"
