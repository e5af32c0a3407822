"""Words of texts as Java cuts them, and tokenizers by name and version."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.errors import IndexNotSupported
from recordlayer.index import tokenizer
from recordlayer.index.tokenizer import IndexTokenizer
from recordlayer.index.tokenizer_words import _normalised, words
from recordlayer.keys import field
from recordlayer.metadata import Index

WORDS = {
    "don't": ["don't"],
    "O\u2019Neill's": ["o", "neill's"],
    "U.S.A.": ["u.s.a"],
    "e-mail": ["e-mail"],
    "a_b": ["a_b"],
    "3.14 and 1,000": ["3.14", "and", "1,000"],
    "$5.00 100%": ["$5.00", "100%"],
    "#5": ["#5"],
    "3-4": ["3", "4"],
    "2020-01-02": ["2020", "01", "02"],
    "12:30": ["12", "30"],
    "user@example.com": ["user", "example.com"],
    "v1.2.3": ["v1.2.3"],
    "a3.b4": ["a3", "b4"],
    "a.3": ["a", ".3"],
    "C++ C#": ["c", "c"],
    "'quoted'": ["quoted"],
    "can''t": ["can", "t"],
    "AT&T": ["at", "t"],
    "R&D1&": ["r", "d1&"],
    "Après naïve": ["apres", "naive"],
    "日本語テスト": ["日本語", "テスト"],
    "ひらがな": ["ひらかな"],
    "abc漢字": ["abc", "漢字"],
    "½": ["1\u20442"],
    "ーテスト": ["ーテスト"],
    "Здра\u0301вствуйте": ["здравствуите"],  # noqa: RUF001
    "안녕하세요": ["\u110b\u1161\u11ab\u1102\u1167\u11bc\u1112\u1161\u1109\u1166\u110b\u116d"],
    "हिन्दी।": ["हनद।"],
    "İstanbul ΣΑΣ": ["istanbul", "σας"],
    "\u00a35.20 5\u00a2": ["\u00a35.20", "5\u00a2"],
    "co\u00adoperate": ["co\u00adoperate"],
    "\U0001d54e hello \U00010400": ["w", "hello"],
    " \t\n--!?": [],
    "": [],
}
"""The first 25 were recorded from the JDK; the others follow from its rules."""


@pytest.mark.parametrize("text", WORDS)
def test_words_are_cut_as_the_jdk_does(text: str) -> None:
    assert words(text) == WORDS[text]


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=40))
def test_the_short_way_for_ascii_gives_what_the_long_one_does(text: str) -> None:
    assert words(text) == list(_normalised(text))


@given(st.text(max_size=40))
def test_a_word_cut_again_is_no_longer_than_it_was(text: str) -> None:
    for word in words(text):
        assert word.lower() == word
        assert sum(map(len, words(word))) <= len(word)


def index(**options: str) -> Index:
    return Index(
        name="words",
        record_types=("Order",),
        type="text",
        root_expression=field("note"),
        options=options,
        subspace_key="words",
        added_version=1,
        last_modified_version=1,
    )


def test_a_token_has_the_places_that_it_takes_up_and_an_empty_one_takes_up_one() -> None:
    found = IndexTokenizer(index(textTokenizerName="filter", textTokenMinSize="2", textTokenMaxSize="4"))
    assert found.positions("a be sea see orange be", 0) == {"be": [1, 5], "sea": [2], "see": [3]}
    assert found.asked("a be") == ["", "be"]


def test_each_version_of_a_tokenizer_goes_on_giving_what_it_gave() -> None:
    found = IndexTokenizer(index(textTokenizerName="prefix", textTokenizerVersion="1"))
    assert list(found.positions("apples pears", 1)) == ["appl", "pear"]
    assert list(found.positions("apples pears", 0)) == ["app", "pea"]
    with pytest.raises(IndexNotSupported, match="versions 0 to 1"):
        found.positions("apples", 2)
    assert IndexTokenizer(index(textTokenizerName="whitespace")).asked("To  be!") == ["To", "be!"]


class Letters:
    """Every letter is a token."""

    name: ClassVar[str] = "letters of a test"
    versions: ClassVar[range] = range(3, 4)

    def __init__(self, options: Any) -> None:
        pass

    def tokens(self, text: str, version: int, *, asking: bool = False) -> list[str]:
        return list(text)


class Others(Letters):
    pass


def test_a_program_registers_a_tokenizer_of_its_own_and_nobody_another_of_the_name() -> None:
    tokenizer.register(Letters)
    tokenizer.register(Letters)
    with pytest.raises(IndexNotSupported, match="known already"):
        tokenizer.register(Others)
    found = IndexTokenizer(index(textTokenizerName=Letters.name, textTokenizerVersion="3"))
    assert found.positions("abba", 3) == {"a": [0, 3], "b": [1, 2]}
    with pytest.raises(IndexNotSupported, match="versions 3 to 3"):
        IndexTokenizer(index(textTokenizerName=Letters.name))
