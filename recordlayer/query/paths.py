"""Fields as people write them in queries.

q.customer == "ana"
q.address.city.starts_with("Am")
q.tags.one_of_them() == "new"
q.items.one_of_them().matches((q.price > 100) & (q.sku == "a"))
q.attributes.entry("color") == "red"   a value of a map
q["in_"].is_null()                     a field whose name is taken by a method
q(concat("a", "b")) == (1, 2)          any key expression
q.score.ranked(group_by="game") < 10     how many records come before this one
q.customer == param("who")             a value that is given later
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from recordlayer.errors import UsageError, WrongType
from recordlayer.query.comparison import Operator
from recordlayer.query.pattern import Pattern
from recordlayer.query.predicate import (
    Compare,
    CompareKey,
    CompareRank,
    Elements,
    Entry,
    IsType,
    Matches,
    Parameter,
    PathStep,
    Predicate,
)
from recordlayer.query.prefixing import prefixed
from recordlayer.query.words import Kind, Words

if TYPE_CHECKING:
    from recordlayer.keys import KeyExpression
    from recordlayer.query.ranked import Ranked


class Operand:
    """What can be compared. Comparing gives a predicate."""

    __slots__ = ()

    def _compare(self, operator: Operator, value: Any = None) -> Predicate:
        raise NotImplementedError

    def _compared(self, operator: Operator, value: Any) -> Predicate:
        if value is None:
            raise UsageError(
                field=str(self), operator=operator.value, hint="nothing compares with None: use is_null() or not_null()"
            )
        return self._compare(operator, value)

    def __eq__(self, value: object) -> Predicate:  # type: ignore[override]  # builds a predicate, as in SQLAlchemy
        return self._compared(Operator.EQUALS, value)

    def __ne__(self, value: object) -> Predicate:  # type: ignore[override]  # builds a predicate
        return self._compared(Operator.NOT_EQUALS, value)

    def __lt__(self, value: Any) -> Predicate:
        return self._compared(Operator.LESS, value)

    def __le__(self, value: Any) -> Predicate:
        return self._compared(Operator.LESS_OR_EQUAL, value)

    def __gt__(self, value: Any) -> Predicate:
        return self._compared(Operator.GREATER, value)

    def __ge__(self, value: Any) -> Predicate:
        return self._compared(Operator.GREATER_OR_EQUAL, value)

    def between(self, low: Any, high: Any) -> Predicate:
        """At least `low` and at most `high`. Several of these on several fields are a box in their dimensions."""
        return self._compared(Operator.GREATER_OR_EQUAL, low) & self._compared(Operator.LESS_OR_EQUAL, high)

    def in_(self, values: Iterable[Any] | Parameter) -> Predicate:
        """One of some values; a parameter stands for all of them."""
        if isinstance(values, Parameter):
            return self._compare(Operator.IN, values)
        return self._compare(Operator.IN, checked_list(str(self), values))

    def is_null(self) -> Predicate:
        """The field is not set. (A field without presence always is.)"""
        return self._compare(Operator.IS_NULL)

    def not_null(self) -> Predicate:
        """The field is set."""
        return self._compare(Operator.NOT_NULL)

    def is_distinct_from(self, value: Any) -> Predicate:
        """Not equal, where null is a value like others and equals itself: never unknown."""
        return self.not_null() if value is None else self._compare(Operator.DISTINCT, value)

    def is_not_distinct_from(self, value: Any) -> Predicate:
        """Equal, where null is a value like others and equals itself: never unknown."""
        return self.is_null() if value is None else self._compare(Operator.NOT_DISTINCT, value)

    __hash__ = None  # type: ignore[assignment]  # == builds a predicate: a set or dict of these could not work

    def __bool__(self) -> NoReturn:
        raise UsageError(field=str(self), hint='a field alone is no condition: compare it, as in q.customer == "ana"')

    def __iter__(self) -> NoReturn:
        raise TypeError("what is compared is not iterable")


class FieldPath(Operand):
    """A field of the record, or of a message in it."""

    __slots__ = ("_steps",)

    def __init__(self, steps: tuple[PathStep, ...] = ()) -> None:
        self._steps = steps

    @property
    def steps(self) -> tuple[PathStep, ...]:
        return self._steps

    def __getattr__(self, name: str) -> FieldPath:
        if name.startswith("__"):
            raise AttributeError(name)
        return FieldPath((*self._steps, PathStep(name))) if self._steps else _top(name)

    def __getitem__(self, name: str) -> FieldPath:
        if not isinstance(name, str):
            raise WrongType(field=name, hint="fields are named by strings; q.tags.one_of_them() is about elements")
        return FieldPath((*self._steps, PathStep(name))) if self._steps else _top(name)

    def __call__(self, expression: KeyExpression, *, any_row: bool = False) -> Computed:
        """A key expression of the record: q(version()) > stamp, q(record_type()) == "o", q(concat("a", "b")) == (1, 2).

        any_row: the expression gives several rows (it fans out), and one of them is enough.
        """
        from recordlayer.keys import KeyExpression

        if self._steps:
            raise UsageError(field=str(self), hint="call q itself: q(expression)")
        if not isinstance(expression, KeyExpression):
            raise WrongType(expression=expression, hint='give a key expression, as in q(concat("a", "b")) == (1, 2)')
        return Computed(expression, any_row)

    # -- elements --------------------------------------------------------------------------------------

    def _last(self, what: str, **changes: Any) -> FieldPath:
        if not self._steps:
            raise UsageError(what=f"{what} without a field", hint=f"write q.tags.{what}()")
        return FieldPath((*self._steps[:-1], PathStep(self._steps[-1].name, **changes)))

    def one_of_them(self, *, unknown_if_empty: bool = False) -> FieldPath:
        """At least one element of a repeated field. `unknown_if_empty`: no elements leave it open, instead of deciding
        that none of them does."""
        of = Elements.ANY_OR_UNKNOWN if unknown_if_empty else Elements.ANY
        return self._last("one_of_them", any=True, of=of)

    def all_of_them(self) -> FieldPath:
        """Every element of a repeated field; also if it has none."""
        return self._last("all_of_them", any=True, of=Elements.ALL)

    def entry(self, key: Any) -> FieldPath:
        """The value that a map has for a key; null if it has none."""
        return self._last("entry", entry=Entry(key))

    def is_empty(self) -> Predicate:
        """A repeated field has no elements."""
        return self._compare(Operator.IS_EMPTY)

    def not_empty(self) -> Predicate:
        """A repeated field has elements."""
        return self._compare(Operator.NOT_EMPTY)

    def contains(self, value: Any) -> Predicate:
        """One element of a repeated field equals this."""
        return self.one_of_them()._compared(Operator.EQUALS, value)

    def contains_any(self, values: Iterable[Any] | Parameter) -> Predicate:
        """One element of a repeated field is among these values."""
        return self.one_of_them().in_(values)

    def contains_all(self, values: Iterable[Any]) -> Predicate:
        """Each of these values is an element of a repeated field."""
        listed = checked_list(str(self), values)
        if not listed:
            raise UsageError(field=str(self), hint="give at least one value")
        found = self.contains(listed[0])
        for value in listed[1:]:
            found = found & self.contains(value)
        return found

    def matches(self, condition: Predicate) -> Predicate:
        """The message in this field fulfils a condition on its own fields: q.items.one_of_them().matches(q.price > 5).

        With `one_of_them` all of the condition is about one and the same element.
        """
        if not isinstance(condition, Predicate):
            raise WrongType(condition=condition, hint="give a condition on the message's fields: matches(q.price > 5)")
        if not self._steps:
            return condition
        found = prefixed(self._steps, condition)
        return Matches(self._steps, condition) if found is None else found

    # -- comparing -------------------------------------------------------------------------------------

    def _compare(self, operator: Operator, value: Any = None) -> Predicate:
        if not self._steps:
            raise UsageError(what="a comparison without a field", hint='write q.customer == "ana"')
        if isinstance(value, list):
            value = tuple(value)
        return Compare(self._steps, operator, value)

    def starts_with(self, start: str | bytes | Parameter) -> Predicate:
        """Text or bytes that begin with `start`."""
        if not isinstance(start, (str, bytes, Parameter)):
            raise WrongType(field=str(self), value=start, hint="only text and bytes have a beginning to look for")
        return self._compare(Operator.STARTS_WITH, start)

    def like(self, pattern: str, *, escape: str | None = None) -> Predicate:
        """Text that matches a pattern: % stands for any text, _ for one character; neither behind `escape`."""
        return self._compare(Operator.LIKE, Pattern(pattern, escape))

    def is_type(self, *names: str) -> Predicate:
        """The record is of one of these types: q.is_type("Order")."""
        if self._steps or not names or not all(isinstance(name, str) for name in names):
            raise UsageError(field=str(self), types=names, hint='write q.is_type("Order")')
        return IsType(names)

    def near(self, latitude: float, longitude: float, *, within: float) -> Predicate:
        """A place at most `within` metres from a point, along the surface of the earth taken for a sphere. The field
        holds a message with double fields latitude and longitude, in degrees. An index on its latitude helps."""
        from recordlayer.query.near import near

        return near(self._steps, latitude, longitude, within)

    # -- words -----------------------------------------------------------------------------------------

    def _words(self, kind: Kind, tokens: str | Sequence[str], tokenizer: str | None, within: int = 0) -> Predicate:
        listed = tokens if isinstance(tokens, str) else tuple(tokens)
        if not all(isinstance(token, str) for token in listed):
            raise WrongType(field=str(self), value=tokens, hint="give a text, or a list of words")
        return self._compare(Operator.TEXT, Words(kind=kind, tokens=listed, within=within, tokenizer=tokenizer))

    def has_words(
        self, words: str | Sequence[str], *, within: int | None = None, tokenizer: str | None = None
    ) -> Predicate:
        """A text with all these words, in any order; `within`: all of them among so many words in a row and one more.

        `words` is cut into words as the text is; a list of words is taken as it is.
        """
        if within is None:
            return self._words(Kind.ALL, words, tokenizer)
        if not isinstance(within, int) or isinstance(within, bool) or within < 1:
            raise UsageError(field=str(self), within=within, hint="give a whole number of at least 1")
        return self._words(Kind.WITHIN, words, tokenizer, within)

    def has_any_word(self, words: str | Sequence[str], *, tokenizer: str | None = None) -> Predicate:
        """A text with one of these words."""
        return self._words(Kind.ANY, words, tokenizer)

    def has_phrase(self, phrase: str | Sequence[str], *, tokenizer: str | None = None) -> Predicate:
        """A text with these words one after the other."""
        return self._words(Kind.PHRASE, phrase, tokenizer)

    def has_prefix(self, start: str, *, tokenizer: str | None = None) -> Predicate:
        """A text with a word that begins so. `start` is taken as it is, not cut into words."""
        return self._words(Kind.PREFIX, (start,), tokenizer)

    def has_all_prefixes(self, starts: str | Sequence[str], *, tokenizer: str | None = None) -> Predicate:
        """A text with words that begin with each of these."""
        return self._words(Kind.ALL_PREFIXES, starts, tokenizer)

    def has_any_prefix(self, starts: str | Sequence[str], *, tokenizer: str | None = None) -> Predicate:
        """A text with a word that begins with one of these."""
        return self._words(Kind.ANY_PREFIX, starts, tokenizer)

    # -- ranks -----------------------------------------------------------------------------------------

    def ranked(
        self, *, group_by: str | KeyExpression | None = None, leaderboard: int | None = None, at: int | None = None
    ) -> Rank:
        """How many records come before this one by this field: 0 for the first. Needs a RANK index, which is asked for
        each record that the other conditions leave.

        group_by     the columns of the groups of which each has its own ranks, as the index has them
        leaderboard  the type of a time window leaderboard's windows, and `at` a time in the window
        """
        from recordlayer.query.ranking import ranked_by

        return Rank(ranked_by(self._steps, group_by, leaderboard, at))

    def __str__(self) -> str:
        return ".".join(str(step) for step in self._steps)

    def __repr__(self) -> str:
        return f"q.{self}" if self._steps else "q"


class Computed(Operand):
    """A key expression."""

    __slots__ = ("_any_row", "_expression")

    def __init__(self, expression: KeyExpression, any_row: bool) -> None:
        self._expression = expression
        self._any_row = any_row

    def _compare(self, operator: Operator, value: Any = None) -> CompareKey:
        return CompareKey(self._expression, operator, tuple(value) if isinstance(value, list) else value, self._any_row)

    def __str__(self) -> str:
        return repr(self._expression)


class Rank(Operand):
    """The rank of the record."""

    __slots__ = ("_ranked",)

    def __init__(self, ranked: Ranked) -> None:
        self._ranked = ranked

    def _compare(self, operator: Operator, value: Any = None) -> CompareRank:
        return CompareRank(self._ranked, operator, value)

    def __str__(self) -> str:
        return str(self._ranked)


@lru_cache(maxsize=1024)
def _top(name: str) -> FieldPath:
    """A field of the record, the same one each time: looking for plans compares paths, which are equal at once then."""
    return FieldPath((PathStep(name),))


class _Record(FieldPath):
    """The record itself. Its fields are looked up once: a query is made as often as it is run."""

    __slots__ = ("__dict__",)

    def __getattr__(self, name: str) -> FieldPath:
        found = super().__getattr__(name)
        if len(self.__dict__) < _MOST_FIELDS:
            self.__dict__[name] = found
        return found

    def __reduce__(self) -> str:
        return "q"


_MOST_FIELDS = 1024
q: FieldPath = _Record()
"""The record: `q.customer` is its field `customer`."""


def checked_list(field: str, values: Any) -> tuple[Any, ...]:
    """Values to be found among. Raises  WrongType, UsageError."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise WrongType(field=field, value=values, hint="give a list of values")
    listed = tuple(values)
    if any(value is None for value in listed):
        raise UsageError(field=field, hint="nothing compares with None: add `| q.field.is_null()`")
    return listed


def as_steps(field: FieldPath | str) -> tuple[PathStep, ...]:
    """A path given as `q.address.city` or as "address.city".  Raises  WrongType."""
    if isinstance(field, str):
        return _named(field)
    if isinstance(field, FieldPath):
        steps = field.steps
    else:
        raise WrongType(field=field, hint='name a field: "total", or q.total')
    return _checked_steps(field, steps)


@lru_cache(maxsize=1024)
def _named(field: str) -> tuple[PathStep, ...]:
    return _checked_steps(field, tuple([PathStep(name) for name in field.split(".")]))


def _checked_steps(field: FieldPath | str, steps: tuple[PathStep, ...]) -> tuple[PathStep, ...]:
    if not steps or not all(step.name for step in steps):
        raise WrongType(field=str(field), hint='name a field: "total", or q.total')
    return steps
