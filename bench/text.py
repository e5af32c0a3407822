"""What a TEXT index takes for a document: as it is kept, and put together, relative to one pair for each token.

200 documents of 5,000 characters. Their words are made up and follow Zipf's law (exponent 1.05, 30,000 different ones,
frequent ones short), because no book is shipped with a program; about 380 different words in each document. With
RECORDLAYER_BENCH_TEXT=FILE they are the beginning of a book of yours, cut between words. Sizes are keys and values
without the store's prefix; nothing is timed, so every run gives the same numbers.

    incremental    documents saved one by one, in the order of their primary keys or in a random one
    put together   the same index after `tidy`
"""

from __future__ import annotations

import math
import os
import random
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from google.protobuf import descriptor_pb2

import recordlayer as rl
from bench.ground import Ground, ground_for
from bench.harness import Case, Ops, Report, Settings, Spread
from recordlayer.index.bunched import packed_positions
from recordlayer.index.tokenizer_words import words
from recordlayer.metadata.definitions import text_index
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from recordlayer.world import World

DOCUMENTS, CHARACTERS = 200, 5_000
VOCABULARY, EXPONENT = 30_000, 1.05
ENGINES = ("memory", "file", "fdb")
INDEX = "words"
_CONSONANTS, _VOWELS = "bcdfghjklmnprstvw", "aeiou"


def documents(count: int) -> list[str]:
    """The texts, the same in every run."""
    book = os.environ.get("RECORDLAYER_BENCH_TEXT")
    if book is None:
        return _made_up(count)
    found = re.findall(rf"(?s).{{{CHARACTERS}}}\S*", Path(book).read_text(encoding="utf-8"))
    return list(found[:count])


def _made_up(count: int) -> list[str]:
    chance = random.Random(7)
    known: dict[str, None] = {}
    while len(known) < VOCABULARY:
        syllables = 1 + int(math.log2(len(known) + 2) / 2.6)
        word = "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(syllables))
        while word in known:
            word += chance.choice(_CONSONANTS)
        known[word] = None
    vocabulary = list(known)
    weights = list(accumulate(1 / (rank + 2.7) ** EXPONENT for rank in range(VOCABULARY)))
    made = []
    for _ in range(count):
        text = ""
        while len(text) < CHARACTERS:
            text += chance.choices(vocabulary, cum_weights=weights)[0] + " "
        made.append(text)
    return made


def run(settings: Settings) -> Report:
    """Both orders, before and after putting together."""
    with ground_for(settings, "text", ENGINES[0]) as ground:
        return Report(bench="text", engine=ground.kind, cases=tuple(_cases(settings, ground)))


def _cases(settings: Settings, ground: Ground) -> Iterator[Case]:
    texts = documents(DOCUMENTS // 5 if settings.quick else DOCUMENTS)
    apart = _one_pair_for_each_token(texts)
    shuffled = random.Random(3).sample(range(len(texts)), len(texts))
    for name, order in (("in order", list(range(len(texts)))), ("in random order", shuffled)):
        settings.say(name)
        db, path = rl.Database(ground.engine(name), world=World()), ground.path(name)
        metadata = _metadata()
        item = metadata.record_type("Item").message_class
        for number in order:
            with db.transaction() as tx:
                tx.store(metadata, path=path).save(item(id=number + 1, body=texts[number]))
        yield _case(f"saved {name}", _stored(db, path), apart, settings, len(texts))
        resume = None
        while True:
            with db.transaction() as tx:
                resume = tx.store(metadata, path=path).texts(INDEX).tidy(limit=5_000, resume=resume)
            if resume is None:
                break
        yield _case(f"saved {name}, put together", _stored(db, path), apart, settings, len(texts))


def _case(case: str, ours: int, apart: int, settings: Settings, count: int) -> Case:
    each, peer = ours / count, apart / count
    return Case(
        case=case,
        unit="B",
        ours=Spread(each, each, each),
        peers={"a pair for each token": Spread(peer, peer, peer)},
        ratio={"a pair for each token": each / peer},
        target={} if settings.quick else {"a pair for each token": 0.6},  # few documents share few words
        ops=Ops(),
    )


def _one_pair_for_each_token(texts: list[str]) -> int:
    size = 0
    for number, text in enumerate(texts, 1):
        places: dict[str, list[int]] = {}
        for place, word in enumerate(words(text)):
            places.setdefault(word, []).append(place)
        size += sum(len(pack((2, INDEX, word, number))) + len(packed_positions(at)) for word, at in places.items())
    return size


def _stored(db: rl.Database, path: tuple[str | int, ...]) -> int:
    prefix = pack(path)
    begin = prefix + pack((2, INDEX))
    with db.transaction() as tx:
        rows = run_blocking(tx.context.read_all(begin, begin + b"\xff"))
    return sum(len(key) - len(prefix) + len(value) for key, value in rows)


def _metadata() -> rl.RecordMetaData:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="bench_text.proto", package="bench_text", syntax="proto2")
    message = file.message_type.add(name="Item")
    message.field.add(name="id", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    message.field.add(name="body", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    made = rl.RecordMetaDataBuilder.from_descriptor_set(descriptor_pb2.FileDescriptorSet(file=[file]))
    return made.primary_key("Item", "id").index("Item", INDEX, text_index("body")).build()
