"""FLOPs of a step: model FLOPs and hardware FLOPs, per GPU and against the datasheet's dense peak.

Model FLOPs are three times the forward pass (GEMMs and attention, by each block's own convention); hardware FLOPs add
what the plan recomputes, never what an attention kernel recomputes on its own. Beside adapters the convention stays:
the weight gradients of frozen matrices are counted and not run, a third of the figure, so that mfu can pass 1; the
products of the adapters are counted as all others.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.work import forward_flops


@dataclass(frozen=True, slots=True)
class FlopsPerStep:
    """Totals over all ranks. peak_flops_per_s: summed over GPUs, None where a device's is not known."""

    model: int
    hardware: int
    ranks: int
    peak_flops_per_s: float | None

    def rates(self, step_s: float) -> dict[str, float | None]:
        """The four FLOP figures of the JSON for a step of this length; None where no FLOPs are known."""
        rates: dict[str, float | None] = {}
        for which, flops, share in (("model", self.model, "mfu"), ("hardware", self.hardware, "hfu")):
            known = step_s and flops and self.peak_flops_per_s
            rates[f"{which}_flops_per_gpu_per_s"] = flops / self.ranks / step_s if step_s and flops else None
            rates[share] = flops / step_s / self.peak_flops_per_s if known else None
        return rates


def flops_per_step(scenario) -> FlopsPerStep:
    """FLOPs of one step of `global_batch` samples at their real lengths: the mean over the steps of the run."""
    steps = [_flops_of(scenario, step) for step in range(scenario.num_draws)]
    model, hardware = (sum(column) // len(steps) for column in zip(*steps, strict=True))
    return FlopsPerStep(
        model=model,
        hardware=hardware,
        ranks=scenario.layout.ranks,
        peak_flops_per_s=_peak(scenario),
    )


def _flops_of(scenario, step: int) -> tuple[int, int]:
    """(model FLOPs, hardware FLOPs) of one step."""
    lengths = scenario.lengths(step) if scenario.samples_differ else ()
    counted = blocks.model_flops(scenario.model, scenario.plan.global_batch, lengths)
    return counted, counted + _recomputed(scenario, lengths)


def _recomputed(scenario, lengths: tuple[int, ...]) -> int:
    """Forward FLOPs that run a second time. The core is counted the same whether or not its matrices are stored."""
    mode, model = scenario.plan.recompute, scenario.model
    if mode == "none":
        return 0
    attention = scenario.software.attention or "unfused"
    cut = Cut(scenario.plan.global_batch, model.trunk.seq, attention=attention, lengths=lengths)
    return sum(forward_flops(blocks.recompute(model, unit, cut, mode)) for unit in blocks.units(model))


def _peak(scenario) -> float | None:
    cluster = scenario.cluster
    total = 0.0
    for group, nodes in cluster.groups:
        peak = group.device.peak(scenario.dtype)
        if peak is None:
            return None
        total += peak * group.gpus * nodes
    return total
