"""Point: one thing to measure, in the words of the cost model. Which points: `grid.py` and `scenarios.py`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from simulator.costs.measured import point_of
from simulator.model.tables import GRADIENT_BYTES, ID_BYTES, STATE_BYTES
from simulator.model.work import Kernel

KERNEL, COLLECTIVE, OVERLAP, CHECK, FACT = "kernel", "collective", "overlap", "check", "fact"
FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = "forward", "input_gradient", "weight_gradient"

GRAPH_KERNELS = 200
"""Of a CUDA graph whose replay is timed."""

ROW_UPDATE_WIDTH = 64
"""Width of the rows whose gradients and updates are measured."""
ROW_PASSES: dict[str, float] = {
    name: GRADIENT_BYTES + 2 * (GRADIENT_BYTES + element + row / ROW_UPDATE_WIDTH)
    for name, (element, row) in STATE_BYTES.items()
}
"""Bytes that an fp32 element moves in the update of its row: the gradient is read, row and states are read and written
(`model/tables/kernels.py`)."""

SUM_PASSES = (ID_BYTES + 2 * GRADIENT_BYTES * ROW_UPDATE_WIDTH) / ROW_UPDATE_WIDTH
FUSED_PASSES = ID_BYTES / ROW_UPDATE_WIDTH + ROW_PASSES["adam"]
"""The same where gradients are summed by row: read, and a sum written; or, fused, the row updated at once."""


@dataclass(frozen=True, slots=True)
class Point:
    """what: kernel, collective, overlap (a collective beside products), check (`checks.py`) or fact (`facts.py`).

    op: as `Kernel.op`, `Collective.op`; `send`; the name of a check or a fact.
    shape: of a kernel, its row in the op's table (`costs.measured.axes`); of a check its own; of others (ranks, bytes).
    layouts: for a gemm, which of a linear layer's three products have this shape; measured in turn.
    """

    what: str
    op: str
    dtype: str
    shape: tuple[int, ...]
    layouts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A name for its samples: equal keys are the same point."""
        return " ".join((self.what, self.op, self.dtype, "x".join(map(str, self.shape)), *self.layouts))

    def beside(self) -> Point:
        """The short product that runs beside the collective of an overlap; in 16 bits, a GPU's."""
        shape = (128, 256, 256) if self.dtype == "fp32" else (2048, 2048, 2048)
        return Point(KERNEL, "gemm", self.dtype, shape, (FORWARD,))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_record(cls, record: dict) -> Point:
        return cls(record["what"], record["op"], record["dtype"], tuple(record["shape"]), tuple(record["layouts"]))

    @classmethod
    def of_key(cls, key: str) -> Point:
        """The point that a key names."""
        what, op, dtype, shape, *layouts = key.split(" ")
        return cls(what, op, dtype, tuple(map(int, shape.split("x"))), tuple(layouts))


def kernel_point(kernel: Kernel, layout: str = FORWARD) -> Point:
    """The point at which a kernel is priced exactly."""
    layouts = (layout,) if kernel.op == "gemm" else ()
    return Point(KERNEL, kernel.op, kernel.dtype, point_of(kernel), layouts)


def merged(points: list[Point]) -> list[Point]:
    """The points in order, each once: equal gemm shapes of several layouts become one point."""
    found: dict[tuple, Point] = {}
    for point in points:
        key = (point.what, point.op, point.dtype, point.shape)
        layouts = tuple(sorted({*(found[key].layouts if key in found else ()), *point.layouts}))
        found[key] = Point(point.what, point.op, point.dtype, point.shape, layouts)
    return list(found.values())
