"""Java's files in protobuf's default pool, for programs whose own .proto files import them.

Nothing in recordlayer uses these: a module below `recordlayer/pb/imports` asks for one file, because the generated
module of a user's .proto imported it. A copy that the program registered before is taken as it is.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool  # noqa: F401  (their files must be in the pool)

from recordlayer.pb.pool import bind, descriptor_set


def fill(namespace: dict[str, Any], file_name: str) -> None:
    """Register a file and what it imports, unless they are there, and bind its names in a module."""
    pool = descriptor_pool.Default()
    for file in descriptor_set().file:
        try:
            pool.FindFileByName(file.name)
        except KeyError:
            pool.AddSerializedFile(file.SerializeToString())
        if file.name == file_name:
            break
    bind(namespace, pool.FindFileByName(file_name))
