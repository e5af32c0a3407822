"""`recordlayer protos`: the .proto files that yours may import, for protoc.

protoc -I. -I"$(recordlayer protos --path)" --python_out=. shop.proto
"""

from __future__ import annotations

import argparse
import json
from typing import TextIO

from recordlayer.pb.paths import include_path

NAME = "protos"
SUMMARY = "Print where the .proto files are that yours may import."


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--path", action="store_true", help="only the directory, for protoc -I")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace, out: TextIO) -> int:
    path = include_path()
    files = sorted(file.name for file in path.glob("*.proto"))
    if arguments.json:
        out.write(json.dumps({"path": str(path), "files": files}) + "\n")
    elif arguments.path:
        out.write(f"{path}\n")
    else:
        out.write(f"{path}\n" + "".join(f"  {file}\n" for file in files))
    return 0
