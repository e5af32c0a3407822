"""What one transaction did so far, as numbers."""

from __future__ import annotations


class Counters:
    """What one transaction did so far.

    reads        point and range reads begun
    range_reads  those of them that are range reads
    rows_read    pairs that the consumers of range reads received
    bytes_read   bytes of those keys and values, and of the values of point reads, where the reader counted them
    sets, mutations, clears, range_clears   writes by kind; `writes` is their sum
    bytes_written                           keys and values of sets, keys and operands of mutations
    """

    __slots__ = (
        "bytes_read",
        "bytes_written",
        "clears",
        "mutations",
        "range_clears",
        "range_reads",
        "reads",
        "rows_read",
        "sets",
    )

    def __init__(self) -> None:
        self.reads = self.range_reads = self.rows_read = self.bytes_read = 0
        self.sets = self.mutations = self.clears = self.range_clears = self.bytes_written = 0

    @property
    def writes(self) -> int:
        return self.sets + self.mutations + self.clears + self.range_clears

    @property
    def keys_read(self) -> int:
        """Keys that were asked for one by one, and those that range reads gave: one that finds nothing reads none.
        The header and the states of a store that was not known are not among them."""
        return self.reads - self.range_reads + self.rows_read

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__} | {"writes": self.writes}

    def __repr__(self) -> str:
        return f"Counters({', '.join(f'{name}={value}' for name, value in self.as_dict().items() if value)})"
