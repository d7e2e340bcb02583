"""Asked: a pricer that only writes down what a simulation asks for, so that just that can be measured."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.cluster import GroupSpan
from simulator.costs.price import Price
from simulator.graph.event_graph import FULL_RATE
from simulator.graph.expand import expand
from simulator.graph.steps import StepSource
from simulator.model.work import Kernel
from simulator.program.fold import Folding
from simulator.road import run_alone

ANY = Price(1, "measured", "asked")


class Asked:
    """Stands in for `costs.pricer.Pricer`. collectives: (op, ranks, bytes) in the order of asking, each once."""

    launch_ns = 0

    def __init__(self) -> None:
        self._collectives: dict[tuple[str, int, int], None] = {}

    @property
    def collectives(self) -> list[tuple[str, int, int]]:
        return list(self._collectives)

    def kernel(self, kernel: Kernel) -> Price:
        return ANY

    def piece(self, kernels: Sequence[Kernel], name: str) -> tuple[Price, ...]:
        return tuple(ANY for _ in kernels)

    def collective(self, op: str, size_bytes: int, span: GroupSpan, algorithm: str = "auto") -> Price:
        self._collectives.setdefault((op, span.size, int(size_bytes)))
        return ANY

    def transfer(self, size_bytes: int, span: GroupSpan) -> Price:
        self._collectives.setdefault(("send", 2, int(size_bytes)))
        return ANY

    def rates(self, kind: str, size_bytes: int | None = None) -> tuple[int, int]:
        return FULL_RATE, FULL_RATE


def collectives_of(scenario, program, steps: StepSource) -> list[tuple[str, int, int]]:
    """(op, ranks, bytes) of every collective and transfer of one step of a scenario, each once."""
    asked = Asked()
    expand(Folding(program), steps, lambda rank: asked, scenario, run_alone, shared=False)
    return [one for one in asked.collectives if one[2] > 0]
