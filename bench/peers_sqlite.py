"""Raw sqlite3 in `peers`, and the schema that all who stand on SQLite share."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from bench.peers_rows import Row

SCHEMA = (
    "create table item (id integer primary key, name text, city text, price real, count integer, active boolean)",
    "create index by_city on item (city, count)",
    "create index by_name on item (name)",
    "create index by_price on item (price)",
    "create table per_city (city text primary key, items integer not null) without rowid",
    """create trigger one_more after insert on item begin
           insert into per_city values (new.city, 1) on conflict (city) do update set items = items + 1;
       end""",
    """create trigger moved after update of city on item when old.city is not new.city begin
           update per_city set items = items - 1 where city = old.city;
           insert into per_city values (new.city, 1) on conflict (city) do update set items = items + 1;
       end""",
)
"""The same indexes as ours. Triggers keep the count of each group: a statement of its own for it takes longer."""


def pragmas(synchronous: str) -> tuple[str, ...]:
    return "pragma journal_mode = wal", f"pragma synchronous = {synchronous}"


class Sqlite:
    """One connection, statements prepared by its cache."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for statement in (*pragmas(synchronous), *SCHEMA):
            self._connection.execute(statement)

    def close(self) -> None:
        self._connection.close()

    def insert(self, rows: Sequence[Row]) -> None:
        run = self._connection.execute
        run("begin immediate")
        self._connection.executemany("insert into item values (?, ?, ?, ?, ?, ?)", rows)
        run("commit")

    def update(self, rows: Sequence[Row]) -> None:
        run = self._connection.execute
        run("begin immediate")
        for number, name, city, price, count, active in rows:
            run(
                "update item set name = ?, city = ?, price = ?, count = ?, active = ? where id = ?",
                (name, city, price, count, active, number),
            )
        run("commit")

    def get(self, ids: Sequence[int]) -> int:
        run = self._connection.execute
        total = 0
        run("begin")
        for number in ids:
            total += run("select * from item where id = ?", (number,)).fetchone()[4]
        run("commit")
        return total

    def range(self, cities: Sequence[str]) -> int:
        run = self._connection.execute
        total = 0
        run("begin")
        for city in cities:
            total += sum([row[4] for row in run("select * from item where city = ?", (city,))])
        run("commit")
        return total

    def covering(self, cities: Sequence[str]) -> int:
        run = self._connection.execute
        total = 0
        run("begin")
        for city in cities:
            total += sum([row[1] for row in run("select city, count, id from item where city = ?", (city,))])
        run("commit")
        return total
