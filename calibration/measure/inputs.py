"""Random inputs of one point, in the shapes that its kernel asks for, and how many bytes they are."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch

from calibration.points import Point
from simulator.executor.batches import draw_ids
from simulator.model.spec import ZipfIds

Call = Callable[[], object]

TORCH_DTYPE = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ZIPF_ALPHA = 1.05
"""The exponent that tables have by default."""

TABLE_ROWS = {"cpu": 20_000, "cuda": 2_000_000}
"""Rows of the table that lookups and updates fall on."""

ROW_WIDTH = 128
"""Width of a row where the shape does not tell (norms and sums over rows)."""


@lru_cache(maxsize=2)
def _pool(device: torch.device) -> torch.Tensor:
    """A million random numbers that inputs are filled from: copying is far cheaper than drawing."""
    return torch.empty(2**20, dtype=torch.float32, device=device).uniform_(-1.0, 1.0)


class Maker:
    """Makes random inputs of a point and counts their bytes."""

    def __init__(self, point: Point, device: torch.device):
        self.point, self.device = point, device
        self.dtype = TORCH_DTYPE[point.dtype]
        self.bytes = 0

    def random(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Values of no special pattern: zeros run faster on some devices."""
        made = torch.empty(shape, dtype=self.dtype if dtype is None else dtype, device=self.device)
        flat, pool = made.view(-1), _pool(self.device)
        for start in range(0, flat.numel(), pool.numel()):
            part = flat[start : start + pool.numel()]
            part.copy_(pool[: part.numel()])
        self.bytes += made.numel() * made.element_size()
        return made

    def ids(self, count: int, rows: int) -> torch.Tensor:
        return torch.randint(rows, (count,), device=self.device)

    def zipf_ids(self, count: int, rows: int) -> torch.Tensor:
        """As tables are looked up by default."""
        generator = np.random.Generator(np.random.Philox(key=[count, rows]))
        drawn = draw_ids(generator, ZipfIds(kind="zipf", alpha=ZIPF_ALPHA), rows, (count,))
        return torch.from_numpy(drawn).to(self.device)

    @property
    def table_rows(self) -> int:
        return TABLE_ROWS[self.device.type]

    @property
    def elements(self) -> int:
        return self.point.shape[0]

    @property
    def passes(self) -> int:
        """How many times an element crosses memory, rounded: tells one kernel of a family from another."""
        return max(1, round(self.point.shape[1] / (self.elements * self.dtype.itemsize)))

    def rows(self, width: int = ROW_WIDTH) -> tuple[int, int]:
        """The elements as a matrix about this wide."""
        width = min(width, self.elements)
        return max(1, self.elements // width), width
