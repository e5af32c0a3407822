"""What may lie where: a tree of typed directories.

A directory stands for one element of a path's tuple: any value of a type, or one constant. Directories of one parent
must be told apart by their elements alone, so two of one type are allowed only if both are constants that differ.
Nothing of the tree is stored, and the names of its directories never reach the database.

Source  Record Layer: KeySpaceDirectory, KeyType
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from recordlayer.errors import InvalidDirectory, UnknownDirectory, WrongDirectoryValue
from recordlayer.tuples import SingleFloat

if TYPE_CHECKING:
    from recordlayer.keyspace.interning.resolver import NameResolver
    from recordlayer.keyspace.path import KeySpacePath


class KeyType(enum.Enum):
    """The type of a directory's values: the Python types of it, and the codes its packed elements begin with."""

    NULL = ((type(None),), 0x00, 0x01)
    BYTES = ((bytes,), 0x01, 0x02)
    STRING = ((str,), 0x02, 0x03)
    INTEGER = ((int,), 0x0B, 0x1E)
    FLOAT = ((SingleFloat,), 0x20, 0x21)
    DOUBLE = ((float,), 0x21, 0x22)
    BOOLEAN = ((bool,), 0x26, 0x28)
    UUID = ((uuid.UUID,), 0x30, 0x31)

    def __init__(self, types: tuple[type, ...], low: int, high: int) -> None:
        self.types = types
        self.low = bytes((low,))
        self.high = bytes((high,))

    def holds(self, value: object) -> bool:
        """Whether a value is of this type. A bool is no integer here, and an integer must fit in 8 bytes, as Java's."""
        return type(value) in self.types and (self is not KeyType.INTEGER or -(2**63) <= value < 2**63)  # type: ignore[operator]

    @classmethod
    def of(cls, value: object) -> KeyType | None:
        """The type of a value; None if no directory can hold it."""
        return next((known for known in cls if known.holds(value)), None)


class _Any(enum.Enum):
    ANY = "any value"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any.ANY
"""Instead of a constant: every value of the directory's type."""

_PYTHON_TYPES: Final = {python: known for known in KeyType for python in known.types}


class KeySpaceDirectory:
    """One directory with those below it. Immutable, so that a tree may be shared.

    name        how paths call it; unique below its parent
    key_type    of its values: a `KeyType`, or a Python type such as `str` or `int`
    value       the one value it has, or ANY; a directory of NULL has the value None
    path_class  what paths to it are made of: a subclass of `KeySpacePath` with an application's own methods

    Raises  InvalidDirectory.
    """

    __slots__ = ("children", "key_type", "name", "path_class", "value")

    def __init__(
        self,
        name: str,
        key_type: KeyType | type | None,
        *children: KeySpaceDirectory,
        value: Any = ANY,
        path_class: type[KeySpacePath] | None = None,
    ) -> None:
        if type(name) is not str or not name or "\x00" in name or "/" in name:
            raise InvalidDirectory(name=name, hint="a directory's name is a text without '/' and zero bytes")
        self.name = name
        self.key_type = self._type_of(name, key_type)
        self.value = None if self.key_type is KeyType.NULL and value is ANY else value
        self.path_class = path_class
        if self.is_constant and not self._is_constant_of_type(self.value):
            raise InvalidDirectory(
                directory=name, value=value, type=self.key_type.name, hint="give a constant of the directory's type"
            )
        self.children = self._checked(children)

    @staticmethod
    def _type_of(name: str, given: object) -> KeyType:
        known = given if isinstance(given, KeyType) else _PYTHON_TYPES.get(type(None) if given is None else given)  # type: ignore[call-overload]
        if not isinstance(known, KeyType):
            raise InvalidDirectory(
                directory=name, type=given, hint=f"use KeyType, or one of {[kind.__name__ for kind in _PYTHON_TYPES]}"
            )
        return known

    def _is_constant_of_type(self, value: object) -> bool:
        return self.key_type.holds(value)

    def _checked(self, children: tuple[KeySpaceDirectory, ...]) -> dict[str, KeySpaceDirectory]:
        known: dict[str, KeySpaceDirectory] = {}
        for child in children:
            if not isinstance(child, KeySpaceDirectory):
                raise InvalidDirectory(parent=self.name, child=child, hint="children are KeySpaceDirectory objects")
            if child.name in known:
                raise InvalidDirectory(parent=self.name, child=child.name, hint="there are two of this name")
            for other in known.values():
                if child.may_be_taken_for(other) or other.may_be_taken_for(child):
                    raise InvalidDirectory(
                        parent=self.name,
                        child=child.name,
                        overlaps=other.name,
                        type=child.key_type.name,
                        hint="two directories of one type must both be constants, and differ",
                    )
            known[child.name] = child
        return known

    # -- asking

    @property
    def is_constant(self) -> bool:
        return self.value is not ANY

    @property
    def is_leaf(self) -> bool:
        return not self.children

    def may_be_taken_for(self, other: KeySpaceDirectory) -> bool:
        """Whether an element of this directory could be one of `other`, both below the same parent."""
        if self.key_type is not other.key_type:
            return False
        return not (self.is_constant and other.is_constant) or self.value == other.value

    def child(self, name: str) -> KeySpaceDirectory:
        """The directory of that name below this one.  Raises  UnknownDirectory."""
        found = self.children.get(name)
        if found is None:
            raise UnknownDirectory(directory=name, parent=self.name, known=sorted(self.children))
        return found

    def checked_value(self, value: Any) -> Any:
        """`value`, or the directory's constant where it is ANY.  Raises  WrongDirectoryValue."""
        if value is ANY:
            if not self.is_constant:
                raise WrongDirectoryValue(directory=self.name, type=self.key_type.name, hint="give a value")
            return self.value
        if not self._is_constant_of_type(value):
            raise WrongDirectoryValue(
                directory=self.name,
                value=value,
                got=type(value).__name__,
                hint=f"it holds {self.kind_of_values}",
            )
        if self.is_constant and value != self.value:
            raise WrongDirectoryValue(directory=self.name, value=value, constant=self.value, hint="leave the value out")
        return value

    @property
    def kind_of_values(self) -> str:
        """Its type, in words."""
        return f"values of type {self.key_type.name}"

    def __str__(self) -> str:
        return "\n".join(self._lines("", ""))

    def _lines(self, first: str, rest: str) -> Iterator[str]:
        yield first + self._label()
        below = list(self.children.values())
        for number, child in enumerate(below):
            last = number == len(below) - 1
            yield from child._lines(rest + "+- ", rest + ("   " if last else "|  "))

    def _label(self) -> str:
        constant = f"={self.value!r}" if self.is_constant and self.value is not None else ""
        return f"{self.name} ({self.key_type.name}{constant})"

    def __repr__(self) -> str:
        return f"<directory {self._label()}>"


class InternedDirectory(KeySpaceDirectory):
    """A directory of names that are stored as short integers: `resolver` keeps which name is which.

    Raises  InvalidDirectory.
    Source  Record Layer: DirectoryLayerDirectory
    """

    __slots__ = ("resolver",)

    def __init__(
        self,
        name: str,
        *children: KeySpaceDirectory,
        value: Any = ANY,
        resolver: NameResolver | None = None,
        path_class: type[KeySpacePath] | None = None,
    ) -> None:
        from recordlayer.keyspace.interning.directories import GLOBAL

        self.resolver = GLOBAL if resolver is None else resolver
        super().__init__(name, KeyType.INTEGER, *children, value=value, path_class=path_class)

    def _is_constant_of_type(self, value: object) -> bool:
        return type(value) is str

    def may_be_taken_for(self, other: KeySpaceDirectory) -> bool:
        if isinstance(other, InternedDirectory) and other.resolver == self.resolver:
            return not (self.is_constant and other.is_constant) or self.value == other.value
        return other.key_type is KeyType.INTEGER  # which number a name gets is not known beforehand

    @property
    def kind_of_values(self) -> str:
        return "names (str), stored as integers"

    def _label(self) -> str:
        return f"[{self.name}]" + (f" (={self.value!r})" if self.is_constant else "")
