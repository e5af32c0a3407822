"""A versionstamp: the place of a transaction in the order of commits, and a place within that transaction.

Layout  10 bytes transaction version, assigned at commit (ten ff bytes: not known yet); 2 bytes user version, big endian
Source  com.apple.foundationdb.tuple.Versionstamp; FDBRecordVersion has the same 12 bytes
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from recordlayer.errors import InvalidVersionstamp

_UNSET: Final = b"\xff" * 10
_set = object.__setattr__


class Versionstamp:
    """`tr_version`: the 10 bytes of the transaction, None before it commits; `user_version`: 0 to 65535.

    Immutable. Ordered as its bytes: all complete ones before all incomplete ones.

    Raises `InvalidVersionstamp` for parts of another type, length or range.
    """

    __slots__ = ("_raw",)

    _raw: bytes

    def __init__(self, tr_version: bytes | None = None, user_version: int = 0) -> None:
        if isinstance(user_version, bool) or not isinstance(user_version, int) or not 0 <= user_version <= 0xFFFF:
            raise InvalidVersionstamp(user_version=user_version)
        if tr_version is None:
            tr_version = _UNSET
        elif not isinstance(tr_version, bytes) or len(tr_version) != 10:
            raise InvalidVersionstamp(tr_version=tr_version)
        elif tr_version == _UNSET:
            raise InvalidVersionstamp(tr_version=tr_version, hint="ten ff bytes mean incomplete: pass None for that")
        _set(self, "_raw", tr_version + user_version.to_bytes(2, "big"))

    @classmethod
    def incomplete(cls, user_version: int = 0) -> Versionstamp:
        """A stamp whose transaction has not committed yet."""
        if type(user_version) is not int or not 0 <= user_version <= 0xFFFF:
            return cls(None, user_version)
        return cls.from_bytes(_UNSET + user_version.to_bytes(2, "big"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Versionstamp:
        """From its 12 bytes."""
        if not isinstance(raw, bytes) or len(raw) != 12:
            raise InvalidVersionstamp(raw=raw, hint="a versionstamp has 12 bytes")
        stamp = cls.__new__(cls)
        _set(stamp, "_raw", raw)
        return stamp

    def to_bytes(self) -> bytes:
        """The 12 bytes."""
        return self._raw

    def completed(self, tr_version: bytes) -> Versionstamp:
        """This stamp with the 10 bytes its transaction was given.

        Raises `InvalidVersionstamp` if it is complete already.
        """
        if self.is_complete:
            raise InvalidVersionstamp(stamp=self, hint="this versionstamp is complete already")
        if tr_version is None:
            raise InvalidVersionstamp(tr_version=None)
        return Versionstamp(tr_version, self.user_version)

    @property
    def is_complete(self) -> bool:
        """Whether the transaction version is known."""
        return not self._raw.startswith(_UNSET)

    @property
    def tr_version(self) -> bytes | None:
        """The 10 bytes of the transaction, or None."""
        version = self._raw[:10]
        return version if version != _UNSET else None

    @property
    def user_version(self) -> int:
        """The place within the transaction, 0 to 65535."""
        return int.from_bytes(self._raw[10:], "big")

    def __eq__(self, other: object) -> bool:
        return self._raw == other._raw if isinstance(other, Versionstamp) else NotImplemented

    def __lt__(self, other: Versionstamp) -> bool:
        return self._raw < other._raw if isinstance(other, Versionstamp) else NotImplemented

    def __le__(self, other: Versionstamp) -> bool:
        return self._raw <= other._raw if isinstance(other, Versionstamp) else NotImplemented

    def __gt__(self, other: Versionstamp) -> bool:
        return self._raw > other._raw if isinstance(other, Versionstamp) else NotImplemented

    def __ge__(self, other: Versionstamp) -> bool:
        return self._raw >= other._raw if isinstance(other, Versionstamp) else NotImplemented

    def __hash__(self) -> int:
        return hash((Versionstamp, self._raw))

    def __repr__(self) -> str:
        return f"Versionstamp({self.tr_version!r}, {self.user_version})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Versionstamp is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Versionstamp is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Versionstamp.from_bytes, (self._raw,)
