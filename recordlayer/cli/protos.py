"""`recordlayer protos`: the .proto files that yours may import, for protoc.

protoc -I. -I"$(recordlayer protos --path)" --python_out=. shop.proto
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TextIO

from recordlayer.pb.paths import include_path

NAME = "protos"
SUMMARY = "Print where the .proto files are that yours may import."


def main(arguments: Sequence[str], out: TextIO) -> int:
    """Needs nothing but the standard library: builds call it before anything is installed."""
    parser = argparse.ArgumentParser(prog="recordlayer protos", description=SUMMARY)
    parser.add_argument("--path", action="store_true", help="only the directory, for protoc -I")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parsed = parser.parse_args(arguments)
    path = include_path()
    files = sorted(file.name for file in path.glob("*.proto"))
    if parsed.json:
        out.write(json.dumps({"path": str(path), "files": files}) + "\n")
    elif parsed.path:
        out.write(f"{path}\n")
    else:
        out.write(f"{path}\n" + "".join(f"  {file}\n" for file in files))
    return 0
