"""The error tree keeps its promises: codes and numbers are unique, every class says what happened, errors travel."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest

from recordlayer import errors
from recordlayer.errors import OtherTransactionError, RecordLayerError, TransactionError, transaction_error


def all_below(cls: type[RecordLayerError]) -> list[type[RecordLayerError]]:
    return [cls] + [lower for direct in cls.__subclasses__() for lower in all_below(direct)]


TREE = [cls for cls in all_below(RecordLayerError) if cls.__module__ == errors.__name__]
TRANSACTION = [cls for cls in TREE if issubclass(cls, TransactionError) and cls is not OtherTransactionError]


def test_every_code_is_used_once() -> None:
    assert [code for code, times in Counter(cls.code for cls in TREE).items() if times > 1] == []


def test_every_number_is_used_once_and_leads_back_to_its_class() -> None:
    numbered = [cls for cls in TRANSACTION if cls is not TransactionError]
    assert [number for number, times in Counter(cls.number for cls in numbered).items() if times > 1] == []
    for cls in numbered:
        assert type(transaction_error(cls.number)) is cls
    assert type(transaction_error(9_999)) is OtherTransactionError
    assert transaction_error(9_999).number == 9_999


def test_errors_are_defined_in_one_place() -> None:
    elsewhere = [cls for cls in all_below(RecordLayerError) if cls.__module__ != errors.__name__]
    assert [f"{cls.__module__}.{cls.__name__}" for cls in elsewhere if cls.__module__.startswith("recordlayer")] == []


@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.code)
def test_an_error_says_what_happened_and_travels_between_processes(cls: type[RecordLayerError]) -> None:
    assert "title" in vars(cls), "a title of its own, and not its parent's"
    assert cls.title[0].islower() or cls.title.startswith("FoundationDB")
    assert not cls.title.endswith("."), "a title goes on with its fields"
    assert not cls.hint.endswith(".")
    error = cls(hint="mend it", key=b"k")
    assert str(error).splitlines()[0] == cls.title
    there_and_back = pickle.loads(pickle.dumps(error))
    assert type(there_and_back) is cls
    assert str(there_and_back) == str(error)
    assert there_and_back.fields == error.fields
