"""The set-ups of the wide mode, the plans that are tried on each, and the policies that are taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from simulator.errors import RehearseError
from simulator.simulation import memory_of
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
    "400 Gb/s a GPU": {},
}
"""Between nodes of 8 H100; inside a node it is NVLink."""

POLICIES: dict[str, dict[str, Any]] = {
    "balancer static": {"balancer": {"kind": "static"}},
    "compression powersgd": {"compression": {"method": "powersgd"}},
    "compression adaptive": {"compression": {"method": "adaptive", "candidates": ["bf16", "int8", "powersgd"]}},
    "aggregation hierarchical": {"aggregation": {"algorithm": "hierarchical"}},
    "aggregation auto": {"aggregation": {"algorithm": "auto"}},
}
TOGETHER = {**POLICIES["balancer static"], **POLICIES["compression powersgd"], **POLICIES["aggregation auto"]}


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
        """Scenarios of a plan that fit, large microbatches first, recomputing only where nothing else fits."""
        stages = plan.get("pipeline", 1)
        ranks = stages * plan.get("tensor", 1)
        for recompute in ("none", "full"):
            for index, microbatch in enumerate(MICROBATCHES):
                scenario = self._legal({**plan, "microbatch": microbatch, "recompute": recompute})
                if scenario is not None and memory_of(scenario).over is None:
                    smaller = (self._legal({**plan, "microbatch": size, "recompute": recompute})
                               for size in MICROBATCHES[index + 1 :])  # fmt: skip
                    found = [scenario, *(one for one in smaller if one is not None)]
                    return [one for one in found if stages == 1 or ranks * _count(one) <= MOST_PASSES]
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


def _count(scenario: Any) -> int:
    return GLOBAL_BATCH // (scenario.plan.microbatch * scenario.layout.data)


def set_ups() -> Iterator[SetUp]:
    """All 28, models first."""
    for model in MODELS:
        yield SetUp(model, "NVLink", 8)
        yield from (SetUp(model, fabric, gpus) for fabric, gpus in product(FABRICS, (64, 1024)))


QUICK = (SetUp("0.1B", "NVLink", 8), SetUp("0.1B", "25 Gb/s a node", 64), SetUp("70B", "400 Gb/s a GPU", 1024))
TAKEN_APART = (
    SetUp("0.1B", "25 Gb/s a node", 64), SetUp("1B", "25 Gb/s a node", 64), SetUp("1B", "100 Mb/s a node", 64),
    SetUp("1B", "400 Gb/s a GPU", 64), SetUp("7B", "25 Gb/s a node", 64),
)  # fmt: skip
BASE = {"tensor": 4, "pipeline": 4, "data": 4, "microbatch": 8, "sequence_parallel": True,
        "aggregation": {"algorithm": "ring"}}  # fmt: skip
"""The hybrid the policies are added to: zero 0, since compressors rewrite all-reduces only, and rings alone."""
