"""Entries: times that a file holds, in the words of the cost model."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.costs import measured
from simulator.costs.algorithms import RING
from simulator.costs.kernels import EMBEDDING_EFFICIENCY, MEMORY_FAMILIES, PASSES
from simulator.costs.node_curves import SEND
from simulator.errors import ScenarioError

KERNEL_OPS = (*measured.AXES, *MEMORY_FAMILIES, *PASSES, *EMBEDDING_EFFICIENCY)
COLLECTIVE_OPS = (*RING, SEND)

KernelKey = tuple[str, str, tuple[int, ...]]
"""(op, dtype, the op's row as `costs.measured.axes` names it)."""
CollectiveKey = tuple[str, int, int]
"""(op, ranks, bytes as `model.work.Collective` counts them); all ranks in one node."""
BetweenKey = tuple[str, int, int, int]
"""(op, ranks, nodes, bytes): as many ranks on each of several nodes."""


@dataclass
class Entries:
    """kernels, collectives (of one node), between (nodes): the ns of every repeat.

    device: what they ran on, empty where the file does not say. left_out: sentences about what nobody can use of it.
    """

    kernels: dict[KernelKey, list[float]] = field(default_factory=dict)
    collectives: dict[CollectiveKey, list[float]] = field(default_factory=dict)
    between: dict[BetweenKey, list[float]] = field(default_factory=dict)
    device: str = ""
    left_out: list[str] = field(default_factory=list)

    def add_kernel(self, op: str, dtype: str, shape: tuple[int, ...], ns: float) -> None:
        self.kernels.setdefault((op, dtype, shape), []).append(ns)

    def add_collective(self, op: str, ranks: int, size_bytes: int, ns: float, nodes: int = 1) -> None:
        if nodes > 1:
            self.between.setdefault((op, ranks, nodes, size_bytes), []).append(ns)
        else:
            self.collectives.setdefault((op, ranks, size_bytes), []).append(ns)

    def __bool__(self) -> bool:
        return bool(self.kernels or self.collectives or self.between)


def refusal(path: str, line: int | None, what: str) -> ScenarioError:
    """The error about one line of an imported file, or about all of it."""
    where = path if line is None else f"{path}, line {line}"
    return ScenarioError(f"{where}: {what}", key="--import")
