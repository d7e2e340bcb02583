"""The one look of tables on a terminal: a rule under the header, blanks between columns, nothing that is not ASCII."""

from __future__ import annotations

from rich import box
from rich.table import Table

GAP = 2
"""Blanks between the columns of a table that has room."""
RULED = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""One of the blanks is the box's own divider."""


def ruled_table(gap: int = GAP) -> Table:
    """An empty table."""
    return Table(box=RULED, pad_edge=False, padding=(0, gap - 1, 0, 0), show_edge=False)
