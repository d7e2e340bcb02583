"""Keys of the embedding tables: rows for `test_knobs.py`.

A row: base, key, setting of the first, of the second, what is looked at (a function of `knobs.py` and what it is
asked for), how the first compares with the second, settings of both.
"""

from __future__ import annotations

TABLE_ROWS = [
    ("hstu", "plan.embedding_columns", "64", "32", "timeline", "=", ""),  # rows are dealt, not columns
]  # fmt: skip
