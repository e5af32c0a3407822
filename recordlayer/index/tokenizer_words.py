"""The words of a text, as the word breaks of the JDK cut it and the Java Record Layer normalises them.

The JDK's rules are neither those of Unicode (UAX #29) nor ICU's. A text is cut into segments; at each point the longest
match of the five rules below wins, and what none of them matches is a segment of one character:

    word? (number word)* (number POST?)?      a word may have single marks inside: don't, e-mail, U.S.A; so may a number
    PRE (number word)* (number POST?)?        $5.00, #5, .3
    KANJI+
    (HIRAGANA or DIACRITIC)+
    (KATAKANA or DIACRITIC)+

Marks and format characters belong to the letter, digit or CJK character before them, format characters at the very
beginning of a segment to that segment. A segment is then normalised to NFKD; it counts if it has a letter or a decimal
digit within the first 65,536 characters of Unicode; it is put in lower case, and its marks are taken away.

Cost    ASCII texts: one pass of one regular expression. The first other text builds the classes of Unicode, in about a
        fifth of a second
Source  JDK, java.text.BreakIterator.getWordInstance for the root locale; Record Layer, DefaultTextTokenizer
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from unicodedata import category, normalize

_KANJI = "\u3005\u4e00-\u9fa5\uf900-\ufa2d"
_HIRAGANA = "\u3041-\u3094\u309d\u309e"
_KATAKANA = "\u30a1-\u30fa\u30fd\u30fe"
_DIACRITIC = "\u3099-\u309c\u30fb\u30fc"
_NOT_LETTERS = (
    (0x3005, 0x3005), (0x4E00, 0x9FA5), (0xF900, 0xFA2D), (0x3041, 0x3094), (0x3099, 0x309E), (0x30A1, 0x30FE),
)  # fmt: skip
_DANDA = "\u0964\u0965"
_SOFT_HYPHEN = 0xAD
_CENT = 0xA2
_MARKS = ("Mn", "Me", "Cf")


def words(text: str) -> list[str]:
    """The normalised words, in order. One may be empty where nothing but marks was left."""
    if text.isascii():
        return [word for word in _ASCII.findall(text.lower()) if any(map(_COUNTS.__contains__, word))]
    return list(_normalised(text))


def _normalised(text: str) -> Iterator[str]:
    for found in _unicode().finditer(text):
        segment = normalize("NFKD", found.group())
        if any(_is_letter_or_digit(character) for character in segment):
            lower = segment.lower()
            yield lower if lower.isascii() else "".join([one for one in lower if category(one)[0] != "M"])


def _is_letter_or_digit(character: str) -> bool:
    kind = category(character)
    return (kind[0] == "L" or kind == "Nd") and character <= "\uffff"


def _rules(
    letter: str, digit: str, mid_word: str, mid_number: str, before: str, behind: str, mark: str, start: str
) -> str:
    """The five rules as one regular expression. The first two begin with different characters than the others; of the
    last two, which share the diacritics, the longer match is taken by looking ahead."""
    letters, digits = f"(?:[{letter}]{mark})+", f"(?:[{digit}]{mark})+"
    word = (
        f"{letters}(?:[{mid_word}]{letters})*(?:[{_DANDA}]{mark})?" if mark else f"{letters}(?:[{mid_word}]{letters})*"
    )
    number = f"{digits}(?:[{mid_number}]{digits})*"
    rest = f"(?:{number}{word})*(?:{number}[{behind}]?)?"
    rules = [f"{word}{rest}", f"(?=[{digit}]){rest}", f"[{before}]{rest}"]
    if mark:
        rules += [
            f"(?:[{_KANJI}]{mark})+",
            f"(?:[{_DIACRITIC}]{mark})*(?:[{_HIRAGANA}]{mark})(?:[{_HIRAGANA}{_DIACRITIC}]{mark})*",
            f"(?:[{_DIACRITIC}]{mark})*(?:[{_KATAKANA}]{mark})(?:[{_KATAKANA}{_DIACRITIC}]{mark})*",
            f"(?:[{_DIACRITIC}]{mark})+",
        ]
    return f"{start}(?:{'|'.join(rules)})"


# What ASCII has of each class: dashes and connectors, quotes and points inside words; commas inside numbers.
_ASCII = re.compile(_rules("a-z", "0-9", "\\-_\"'.", "\"',.", "$#.", "&%", "", ""))
_COUNTS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


@cache
def _unicode() -> re.Pattern[str]:
    classes: dict[str, list[int]] = {
        name: [] for name in ("letter", "digit", "mid_word", "mid_number", "before", "behind", "mark", "format")
    }
    classes["mid_word"] += [_SOFT_HYPHEN, 0x2027, *map(ord, "\"'.")]
    classes["mid_number"] += [*map(ord, "\"',."), 0x66B]
    classes["before"] += map(ord, "#.")
    classes["behind"] += [*map(ord, "&%"), _CENT, 0x66A, 0x2030, 0x2031]
    no_letters = frozenset(point for first, last in _NOT_LETTERS for point in range(first, last + 1))
    for point in range(sys.maxunicode + 1):
        kind = category(chr(point))
        if kind in ("Cn", "Co", "Cs"):
            continue
        if (kind[0] == "L" or kind == "Mc") and point not in no_letters:
            classes["letter"].append(point)
        elif kind[0] == "N":
            classes["digit"].append(point)
        elif kind in ("Pd", "Pc"):
            classes["mid_word"].append(point)
        elif kind == "Sc" and point != _CENT:
            classes["before"].append(point)
        elif kind in _MARKS and point != _SOFT_HYPHEN:
            classes["mark"].append(point)
            if kind == "Cf":
                classes["format"].append(point)
    made = {name: _class(points) for name, points in classes.items()}
    start, mark = f"[{made.pop('format')}]*", f"[{made.pop('mark')}]*"
    return re.compile(_rules(**made, mark=mark, start=start))


def _class(points: list[int]) -> str:
    """Characters as the inside of a class of a regular expression."""
    ranges: list[list[int]] = []
    for point in sorted(set(points)):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join([f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges])
