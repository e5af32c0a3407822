"""Three versions of a record made one: what I made of it, what others made of it meanwhile, and what both began with.

    merged = merge(base, mine, theirs)
    merged.message, [str(conflict.path) for conflict in merged.conflicts]

Field by field: what only one side has changed is as that side has it, and what both have changed alike is so. What they
have changed differently is a conflict, and `resolve` says what becomes of it.

    a field             is one value; in fields with presence, not being set is a value as well
    a message           is merged by its own fields if both sides have it. Those of google.protobuf (Timestamp, ...)
                        and of the service (Reference, GeoPoint), and those named by `whole`, are one value
    a oneof             is one value, unless both sides have the same member and that is a message
    a map               is merged key by key, as fields are
    a repeated field    is merged by its elements, as lines of a text are: what a side has taken out is out, what it has
                        put in is in where it stood, theirs before mine where both stand at one place, and once if both
                        put in the same. It is a conflict as a whole if an element was replaced by one side, and
                        replaced otherwise or taken out by the other
    what the message type does not know (fields of a newer schema, extensions) is as they have it
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from recordlayer.errors import WrongType
from recordlayer.keys.access import is_map, is_repeated
from recordlayer.pb.types import FieldDescriptor

M = TypeVar("M", bound=Message)

_VALUES = ("google.protobuf.", "recordlayer.v1.")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that both sides have changed, and not alike.

    path    "customer", "address.city", "attributes[color]", the name of a oneof; "" is the record as a whole, which one
            side has changed and the other deleted
    base    what both began with: a value, a message, a list, a pair of the member's name and its value for a oneof;
            None where it was not set
    mine    what it is here
    theirs  what it is there
    """

    path: str
    base: Any
    mine: Any
    theirs: Any


Resolve = Callable[[Conflict], Any]
"""What a conflict becomes: one of its values, or another of that kind."""


def keep_mine(conflict: Conflict) -> Any:
    """What was changed here counts; but a record that one side has changed and the other deleted is kept."""
    return conflict.theirs if not conflict.path and conflict.mine is None else conflict.mine


def keep_theirs(conflict: Conflict) -> Any:
    """What was changed there counts; but a record that one side has changed and the other deleted is kept."""
    return conflict.mine if not conflict.path and conflict.theirs is None else conflict.theirs


@dataclass(frozen=True, slots=True)
class Merged(Generic[M]):
    """One message, and the conflicts that were resolved on the way."""

    message: M
    conflicts: tuple[Conflict, ...]


def merge(
    base: M | None, mine: M, theirs: M, *, resolve: Resolve = keep_mine, whole: Collection[str] = ()
) -> Merged[M]:
    """One message from three; none of them is changed.

    base     None where both sides have made the record, each for itself: then nothing was set in what they began with
    resolve  is asked for each conflict
    whole    full names of message types that are not merged by their fields

    Raises  WrongType if they are not of one type, and what `resolve` raises
    """
    kinds = {one.DESCRIPTOR.full_name for one in (base, mine, theirs) if one is not None}
    if len(kinds) > 1:
        raise WrongType(types=sorted(kinds), hint="merge messages of one type")
    merging = _Merging(resolve, frozenset(whole))
    merged: M = type(theirs)()
    merged.CopyFrom(theirs)
    merging.message(type(mine)() if base is None else base, mine, theirs, merged, "")
    return Merged(merged, tuple(merging.conflicts))


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is set and unset as one: a field, or the fields of a oneof, of which one at most is set."""

    name: str
    fields: tuple[FieldDescriptor, ...]
    oneof: bool = False


def _units(message: Message) -> list[_Unit]:
    units = [
        _Unit(one.name, (one,)) for one in message.DESCRIPTOR.fields if one.containing_oneof is None or _alone(one)
    ]
    oneofs = [one for one in message.DESCRIPTOR.oneofs if not _alone(one.fields[0])]
    return [*units, *(_Unit(one.name, tuple(one.fields), oneof=True) for one in oneofs)]


def _alone(one: FieldDescriptor) -> bool:
    """Whether a field is the only one of its oneof: that is how `optional` of proto3 is kept."""
    return one.containing_oneof is not None and len(one.containing_oneof.fields) == 1


@dataclass(slots=True)
class _Merging:
    resolve: Resolve
    whole: frozenset[str]
    conflicts: list[Conflict] = field(default_factory=list)

    def message(self, base: Message, mine: Message, theirs: Message, into: Any, path: str) -> None:
        """Merge all that the type knows. `into` is as `theirs`."""
        for unit in _units(into):
            where = f"{path}.{unit.name}" if path else unit.name
            held = [_held(one, unit) for one in (base, mine, theirs)]
            if _same(held[1], held[2]) or _same(held[0], held[1]):
                continue
            if _same(held[0], held[2]):
                _put(into, unit, held[1])
            elif self._by_fields(held):
                name, here = held[1]
                before = held[0][1] if held[0] is not None and held[0][0] == name else type(here)()
                self.message(before, here, held[2][1], getattr(into, name), where)
            elif not unit.oneof and is_map(unit.fields[0]):
                self._map([one[1] for one in held], getattr(into, unit.name), where)
            elif not unit.oneof and is_repeated(unit.fields[0]):
                _put_list(into, unit.name, self._list([one[1] for one in held], where))
            else:
                _put(into, unit, self._ask(where, held, unit))

    def _by_fields(self, held: Sequence[Any]) -> bool:
        """Whether both sides have the same message, and it is one that is merged by its fields."""
        mine, theirs = held[1:]
        return mine is not None and theirs is not None and mine[0] == theirs[0] and self._open(mine[1])

    def _open(self, value: Any) -> bool:
        if not isinstance(value, Message):
            return False
        name = value.DESCRIPTOR.full_name
        return name not in self.whole and not name.startswith(_VALUES)

    def _ask(self, path: str, held: Sequence[Any], unit: _Unit) -> Any:
        shown = [one if unit.oneof or one is None else one[1] for one in held]
        resolved = self._resolved(path, *shown)
        return resolved if unit.oneof or resolved is None else (unit.name, resolved)

    def _resolved(self, path: str, base: Any, mine: Any, theirs: Any) -> Any:
        conflict = Conflict(path, base, mine, theirs)
        self.conflicts.append(conflict)
        return self.resolve(conflict)

    def _map(self, maps: Sequence[dict[Any, Any]], target: Any, path: str) -> None:
        base, mine, theirs = maps
        for key in sorted(base.keys() | mine.keys() | theirs.keys()):
            held: list[Any] = [one.get(key) for one in maps]
            if _same(held[1], held[2]) or _same(held[0], held[1]):
                continue
            where = f"{path}[{key}]"
            if _same(held[0], held[2]):
                _put_entry(target, key, held[1])
            elif self._open(held[1]) and held[2] is not None:
                before = type(held[1])() if held[0] is None else held[0]
                self.message(before, held[1], held[2], target[key], where)
            else:
                _put_entry(target, key, self._resolved(where, *held))

    def _list(self, lists: Sequence[list[Any]], path: str) -> list[Any]:
        base, mine, theirs = lists
        told = [[_told_apart(one) for one in each] for each in (base, mine, theirs)]
        my, their = _Edits.between(told[0], told[1], mine), _Edits.between(told[0], told[2], theirs)
        if my.contradicts(their) or their.contradicts(my):
            return list(self._resolved(path, base, mine, theirs) or ())
        merged: list[Any] = []
        for place in range(len(base) + 1):
            there, here = their.put_in.get(place, []), my.put_in.get(place, [])
            merged += there
            known = {_told_apart(one) for one in there}
            merged += [one for one in here if _told_apart(one) not in known]
            if place < len(base) and place not in my.taken_out and place not in their.taken_out:
                merged.append(base[place])
        return merged


@dataclass(slots=True)
class _Edits:
    """What made one list of another.

    taken_out  places in the first list
    put_in     elements, by the place before which they stand
    replaced   places whose elements were taken out for others, and the first place of those that went together
    """

    taken_out: set[int] = field(default_factory=set)
    put_in: dict[int, list[Any]] = field(default_factory=dict)
    replaced: dict[int, int] = field(default_factory=dict)

    @classmethod
    def between(cls, base: Sequence[Any], side: Sequence[Any], elements: Sequence[Any]) -> _Edits:
        made = cls()
        for kind, low, high, first, last in SequenceMatcher(None, base, side, autojunk=False).get_opcodes():
            if kind == "equal":
                continue
            made.taken_out.update(range(low, high))
            if first < last:
                made.put_in[low] = list(elements[first:last])
                made.replaced.update(dict.fromkeys(range(low, high), low))
        return made

    def contradicts(self, other: _Edits) -> bool:
        """Whether an element that was replaced here was replaced otherwise, or taken out, there."""
        return any(
            place in other.taken_out
            and [_told_apart(one) for one in self.put_in[first]]
            != [_told_apart(one) for one in other.put_in.get(other.replaced.get(place, -1), [])]
            for place, first in self.replaced.items()
        )


def _held(message: Any, unit: _Unit) -> Any:
    """The name of what is set and its value; None where nothing is."""
    if unit.oneof:
        name = message.WhichOneof(unit.name)
        return None if name is None else (name, getattr(message, name))
    (one,) = unit.fields
    if one.has_presence and not message.HasField(one.name):
        return None
    value = getattr(message, one.name)
    if is_map(one):
        value = {key: value[key] for key in value}
    elif is_repeated(one):
        value = list(value)
    return (one.name, value)


def _same(one: Any, other: Any) -> bool:
    """Equal, where NaN equals itself and 0.0 is not -0.0, as the bytes have it."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return repr(one) == repr(other)
    if isinstance(one, Message) and isinstance(other, Message):
        return bool(_told_apart(one) == _told_apart(other))
    return bool(type(one) is type(other) and one == other)


def _told_apart(value: Any) -> Any:
    if isinstance(value, Message):
        return value.SerializePartialToString(deterministic=True)
    return repr(value) if isinstance(value, float) else value


def _put(into: Any, unit: _Unit, held: Any) -> None:
    """Let a field, or the fields of a oneof, be what `_held` gave of another message."""
    for one in unit.fields:
        into.ClearField(one.name)
    if held is None:
        return
    name, value = held
    kind = into.DESCRIPTOR.fields_by_name[name]
    if is_map(kind):
        for key in value:
            _put_entry(getattr(into, name), key, value[key])
    elif is_repeated(kind):
        _put_list(into, name, value)
    elif isinstance(value, Message):
        getattr(into, name).CopyFrom(value)
    else:
        setattr(into, name, value)


def _put_list(into: Any, name: str, elements: Sequence[Any]) -> None:
    kept = type(into)()  # elements may be those of `into`, which end with the field
    getattr(kept, name).extend(elements)
    into.ClearField(name)
    into.MergeFrom(kept)


def _put_entry(target: Any, key: Any, value: Any) -> None:
    if value is None:
        target.pop(key, None)
    elif isinstance(value, Message):
        target[key].CopyFrom(value)
    else:
        target[key] = value
