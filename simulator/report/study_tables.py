"""A study's rows on a terminal: any columns, any width, no word broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.report import format
from simulator.report.ruled import GAP, ruled_table


@dataclass(frozen=True)
class StudyTable:
    """A table where it fits the width without breaking a word, else one paragraph for each row."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold")
        widths = self._widths(options.max_width)
        yield from self._paragraphs(options.max_width) if widths is None else (self._table(widths),)

    def _numeric(self) -> list[bool]:
        """Which columns hold numbers only: they stand right and are never wrapped."""
        return numeric_columns(self.rows) if self.rows else [False] * len(self.columns)

    def _widths(self, width: int) -> list[int] | None:
        """Width of each column: its longest word at least, its longest text where there is room; None: too narrow."""
        least, most, numeric_at = [], [], self._numeric()
        for place, (column, numeric) in enumerate(zip(self.columns, numeric_at, strict=True)):
            cells = [row[place] for row in self.rows]
            words = [*column.split(), *(cells if numeric else [word for cell in cells for word in cell.split()])]
            least.append(max(map(len, words), default=1))
            most.append(max(map(len, (column, *cells))))
        spare = width - sum(least) - GAP * (len(least) - 1)
        if spare < 0:
            return None
        # texts first, the one that wants least before the others; then headers of numbers
        for place in sorted(range(len(least)), key=lambda place: (numeric_at[place], most[place] - least[place])):
            more = min(spare, most[place] - least[place])
            least[place] += more
            spare -= more
        return least

    def _table(self, widths: Sequence[int]) -> Table:
        table = ruled_table()
        for column, numeric, width in zip(self.columns, self._numeric(), widths, strict=True):
            table.add_column(column, justify="right" if numeric else "left", width=width)
        for row in self.rows:
            table.add_row(*map(escape, row))
        return table

    def _paragraphs(self, width: int) -> Iterator[Any]:
        """What a row is (its first texts), and below it the rest with their names."""
        numeric = self._numeric()
        num_heads = numeric.index(True) if True in numeric else len(numeric)
        for row in self.rows:
            yield Text(", ".join(row[:num_heads]))
            told = zip(self.columns[num_heads:], row[num_heads:], strict=True)
            lines = [""]
            for column, cell in told:
                if cell in ("", format.UNKNOWN):
                    continue
                pair = f"{column} {cell}"
                if lines[-1] and len(lines[-1]) + 3 + len(pair) > width - 2:
                    lines.append("")
                lines[-1] += f"   {pair}" if lines[-1] else pair
            yield from (Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines if line)


def numeric_columns(rows: Sequence[Sequence[str]]) -> list[bool]:
    """Which columns of a table hold numbers only; never the first, which says what a row is."""
    return [
        place > 0 and all(map(format.reads_as_number, cells)) for place, cells in enumerate(zip(*rows, strict=True))
    ]


def study_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> StudyTable:
    """A study's rows as a table: columns are the keys in order of first use; a key that a row lacks is n/a there.

    Values are texts already formatted (`report.format`) or plain numbers, which get three significant digits.
    """
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return StudyTable(columns, tuple(tuple(study_cell(row.get(column)) for column in columns) for row in rows), title)


def study_cell(value: Any) -> str:
    """A value of a study's row as text."""
    if value is None:
        return format.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return format.significant(value) if isinstance(value, float) else str(value)
