"""The raw tables under `tables/`, as columns. Each opens with `#` lines that cite its source."""

from __future__ import annotations

import csv
from importlib.resources import files


def rows(name: str, **wanted: str) -> list[dict[str, str]]:
    """The rows of tables/<name>.csv whose columns have the wanted texts."""
    with files("calibration.published").joinpath("tables", f"{name}.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if all(row[key] == value for key, value in wanted.items())]


def citation(name: str) -> str:
    """The first `# Source:` line of a table."""
    with files("calibration.published").joinpath("tables", f"{name}.csv").open(encoding="utf-8") as file:
        return file.readline().removeprefix("# Source:").strip()


def column(table: list[dict[str, str]], name: str) -> list[int]:
    """A column of whole numbers."""
    return [int(row[name]) for row in table]


def microseconds_as_ns(table: list[dict[str, str]], name: str) -> list[int]:
    """A column of microseconds as whole nanoseconds."""
    return [round(float(row[name]) * 1000) for row in table]
