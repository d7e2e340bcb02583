"""The set-ups of the wide study and the plans that are tried on each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from simulator.errors import RehearseError
from simulator.road import memory_of
from studies.hybrid_vs_single_mode import plans

GLOBAL_BATCH = 1024
"""Assumed: samples a step, the same on 8 GPUs and on 1,024, so that all the rows of one model do the same work."""

MOST_PASSES = 4096
"""Stages x tensor ranks x microbatches of one pipeline still tried, to bound the time: 128 microbatches on 32 ranks."""

MICROBATCHES = (32, 16, 8, 4, 2, 1)

# Llama 2 70B's widths (arXiv 2307.09288), with the study's vocabulary and table.
MODELS = {**plans.MODELS, "70B": {"layers": 80, "hidden": 8192, "heads": 64, "kv_heads": 8, "ffn": 28672}}

FABRICS: dict[str, dict[str, Any]] = {
    "100 Mb/s a node": {"nic_gbit_per_s": 0.1, "nics_per_node": 1},
    "25 Gb/s a node": {"nic_gbit_per_s": 25, "nics_per_node": 1},
    "100 Gb/s a node": {"nic_gbit_per_s": 100, "nics_per_node": 1},
    "400 Gb/s a GPU": {},
}
"""Between nodes of 8 H100; inside a node it is NVLink."""

GPUS = (64, 256, 1024)
"""Of several nodes; one node is a set-up of its own."""


@dataclass(frozen=True)
class SetUp:
    """One model on one fabric with a number of GPUs; 8 GPUs are one node, whatever joins nodes."""

    model: str
    fabric: str
    gpus: int

    def scenario(self, plan: dict[str, Any]):
        """One plan, on as many nodes as it fills. Raises RehearseError where it is not legal."""
        used = plan.get("tensor", 1) * plan.get("pipeline", 1) * plan.get("data", 1)
        links = FABRICS.get(self.fabric, {})
        nics = min(links.get("nics_per_node", 8), used)
        cluster = {"preset": "dgx_h100", **links, "nodes": -(-used // 8), "gpus_per_node": min(used, 8)}
        return plans.built(self.model, MODELS[self.model], {**cluster, "nics_per_node": nics}, plan, GLOBAL_BATCH)

    def fitting(self, plan: dict[str, Any]) -> list[Any]:
        """Scenarios of a plan that fit, large microbatches first, recomputing only where nothing else fits.

        Once one fits, smaller ones of the same plan do too; so few are measured.
        """
        ranks = plan.get("pipeline", 1) * plan.get("tensor", 1)
        for recompute in ("none", "full"):
            legal = (self._legal({**plan, "microbatch": size, "recompute": recompute}) for size in MICROBATCHES)
            tried = [one for one in legal if one is not None
                     and (plan.get("pipeline", 1) == 1 or ranks * one.microbatches <= MOST_PASSES)]  # fmt: skip
            first = bisect_left(tried, True, key=lambda scenario: memory_of(scenario).over is None)
            if first < len(tried):
                return tried[first:]
        return []

    def _legal(self, plan: dict[str, Any]) -> Any:
        try:
            return self.scenario(plan)
        except RehearseError:
            return None

    def single_modes(self) -> dict[str, dict[str, Any]]:
        """Each mode alone at its largest legal degree, a power of two."""
        widths = MODELS[self.model]
        degrees = [2**power for power in range(11) if 2**power <= self.gpus]
        heads, kv_heads = widths["heads"], widths.get("kv_heads", widths["heads"])
        tensor = max(degree for degree in degrees if heads % degree == 0 and kv_heads % degree == 0)
        pipeline = max(degree for degree in degrees if widths["layers"] % degree == 0)
        data = {f"data only, zero {zero}": {"data": self.gpus, "zero": zero} for zero in (0, 1, 3)}
        return {
            **data,
            "tensor only": {"tensor": tensor, "data": 1, "sequence_parallel": True},
            "pipeline only": {"pipeline": pipeline, "data": 1},
        }

    def hybrids(self) -> Iterator[dict[str, Any]]:
        """Every product of at least two degrees that fills the cluster; tensor stays in a node, zero 1 over data."""
        for tensor, pipeline in product((1, 2, 4, 8), (1, 2, 4, 8, 16)):
            data = self.gpus // (tensor * pipeline)
            if data and MODELS[self.model]["layers"] % pipeline == 0 and (tensor, pipeline, data).count(1) <= 1:
                zero = {"zero": 1} if data > 1 else {}
                yield {"tensor": tensor, "pipeline": pipeline, "data": data, "sequence_parallel": tensor > 1, **zero}


def set_ups() -> Iterator[SetUp]:
    """All 52, models first."""
    for model in MODELS:
        yield SetUp(model, "NVLink", 8)
        yield from (SetUp(model, fabric, gpus) for fabric, gpus in product(FABRICS, GPUS))


QUICK = (SetUp("0.1B", "NVLink", 8), SetUp("0.1B", "25 Gb/s a node", 64), SetUp("70B", "400 Gb/s a GPU", 1024))
