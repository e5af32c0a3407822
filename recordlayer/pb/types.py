"""Names for protobuf's descriptors in annotations.

The two implementations of protobuf (upb and pure Python) have descriptor classes of their own without a common base,
and the stubs describe one of them, differently from version to version: to a type checker descriptors are Any.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Descriptor: TypeAlias = Any
FieldDescriptor: TypeAlias = Any
FileDescriptor: TypeAlias = Any
EnumDescriptor: TypeAlias = Any
