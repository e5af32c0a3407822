"""SQLAlchemy and peewee in `peers`, each as its documentation says for this job, over one SQLite connection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peewee
import sqlalchemy
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool

from bench.peers_rows import Row
from bench.peers_sqlite import SCHEMA, pragmas


def _engine(path: Path, synchronous: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=StaticPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        for statement in (*pragmas(synchronous), *SCHEMA):
            connection.execute(statement)

    return engine


_ITEM = Table(
    "item",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String),
    Column("city", String),
    Column("price", Float),
    Column("count", Integer),
    Column("active", Boolean),
)


class Core:
    """SQLAlchemy's expression language, without objects."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._engine = _engine(path, synchronous)

    def close(self) -> None:
        self._engine.dispose()

    def insert(self, rows: Sequence[Row]) -> None:
        with self._engine.begin() as connection:
            connection.execute(insert(_ITEM), [row._asdict() for row in rows])

    def update(self, rows: Sequence[Row]) -> None:
        statement = update(_ITEM).where(_ITEM.c.id == bindparam("key"))
        with self._engine.begin() as connection:
            for row in rows:
                values = row._asdict()
                connection.execute(statement, {"key": values.pop("id"), **values})

    def get(self, ids: Sequence[int]) -> int:
        total = 0
        with self._engine.begin() as connection:
            for number in ids:
                total += connection.execute(select(_ITEM).where(_ITEM.c.id == number)).one()[4]
        return total

    def range(self, cities: Sequence[str]) -> int:
        total = 0
        with self._engine.begin() as connection:
            for city in cities:
                total += sum([row[4] for row in connection.execute(select(_ITEM).where(_ITEM.c.city == city))])
        return total

    def covering(self, cities: Sequence[str]) -> int:
        total = 0
        columns = select(_ITEM.c.city, _ITEM.c.count, _ITEM.c.id)
        with self._engine.begin() as connection:
            for city in cities:
                total += sum([row[1] for row in connection.execute(columns.where(_ITEM.c.city == city))])
        return total


class _Base(DeclarativeBase):
    pass


class _Item(_Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    city: Mapped[str]
    price: Mapped[float]
    count: Mapped[int]
    active: Mapped[bool]


class Orm:
    """SQLAlchemy's objects, a session for each transaction."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._engine = _engine(path, synchronous)

    def close(self) -> None:
        self._engine.dispose()

    def insert(self, rows: Sequence[Row]) -> None:
        with Session(self._engine) as session, session.begin():
            session.add_all([_Item(**row._asdict()) for row in rows])

    def update(self, rows: Sequence[Row]) -> None:
        with Session(self._engine) as session, session.begin():
            for row in rows:
                session.merge(_Item(**row._asdict()))

    def get(self, ids: Sequence[int]) -> int:
        total = 0
        with Session(self._engine) as session:
            for number in ids:
                total += session.get_one(_Item, number).count
        return total

    def range(self, cities: Sequence[str]) -> int:
        total = 0
        with Session(self._engine) as session:
            for city in cities:
                total += sum([item.count for item in session.scalars(select(_Item).where(_Item.city == city))])
        return total

    def covering(self, cities: Sequence[str]) -> int:
        total = 0
        columns = select(_Item.city, _Item.count, _Item.id)
        with Session(self._engine) as session:
            for city in cities:
                total += sum([row[1] for row in session.execute(columns.where(_Item.city == city))])
        return total


class Peewee:
    """peewee's models."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._database = database = peewee.SqliteDatabase(str(path))

        class Item(peewee.Model):
            id = peewee.IntegerField(primary_key=True)
            name = peewee.TextField()
            city = peewee.TextField()
            price = peewee.FloatField()
            count = peewee.IntegerField()
            active = peewee.BooleanField()

            class Meta:
                table_name = "item"

        Item.bind(database)
        self._item: Any = Item
        for statement in (*pragmas(synchronous), *SCHEMA):
            database.execute_sql(statement)

    def close(self) -> None:
        self._database.close()

    def insert(self, rows: Sequence[Row]) -> None:
        with self._database.atomic():
            self._item.insert_many(rows).execute()

    def update(self, rows: Sequence[Row]) -> None:
        with self._database.atomic():
            for row in rows:
                self._item(**row._asdict()).save()

    def get(self, ids: Sequence[int]) -> int:
        total = 0
        with self._database.atomic():
            for number in ids:
                total += self._item.get_by_id(number).count
        return total

    def range(self, cities: Sequence[str]) -> int:
        item, total = self._item, 0
        with self._database.atomic():
            for city in cities:
                total += sum([found.count for found in item.select().where(item.city == city)])
        return total

    def covering(self, cities: Sequence[str]) -> int:
        item, total = self._item, 0
        with self._database.atomic():
            for city in cities:
                found = item.select(item.city, item.count, item.id).where(item.city == city)
                total += sum([row[1] for row in found.tuples()])
        return total
