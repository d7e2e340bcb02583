"""The constants that no table publishes, fitted to a few declared rows of published clusters.

A source of `simulator/validation/sources` names in FIT_ROWS the rows that set constants; no constant knows another row.
Values are what `python -m calibration.published.refit` prints: least squares of the percent errors of all fit rows of
one profile, all its constants at once, each held weakly to its plausible range. At an end of
that range a constant would say that some form is wrong.
`name@variant` holds for one software stack or one sibling device (`Profile.variant`).
"""

from __future__ import annotations

from dataclasses import dataclass

from calibration.published.constants import constant
from simulator.validation.sources import fit_rows

A100, H100 = "a100_sxm4_80gb", "h100_sxm5_80gb"


@dataclass(frozen=True, slots=True)
class Fitted:
    """One constant. sources: whose fit rows it answers to. otherwise: what it would be taken for without
    any of its rows. plausible: least and
    greatest value that its meaning allows."""

    profile: str
    name: str
    value: float
    meaning: str
    plausible: tuple[float, float]
    otherwise: float
    sources: tuple[str, ...]
    unit: str = "1"

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """(source, row) of each row that it answers to."""
        return tuple((source, row) for source in self.sources for row in fit_rows(source))

    def entry(self) -> dict:
        """Its entry of a profile's `constants`."""
        cited = f"{self.meaning}; least squares over the declared rows, calibration/published/cluster_fits.py"
        return constant(self.value, self.unit, "fitted", cited, tuple(f"{source}: {row}" for source, row in self.rows))


SELENE = ("sc21_table1", "sc21_table2", "korthikanti_table4", "korthikanti_table5")
STRAGGLER = "kernels take so much longer on the slowest node, for which the others wait, for each doubling of the nodes"
MEMORY = "memory-bound kernels in a step over isolated ones: cold caches, masks, strides"
CLOCK = "compute-bound kernels in a step over isolated ones: at full load the power limit holds the clock down"
CAPPED = f"{CLOCK}, here of a part capped at 500 W"
FSDP = f"{STRAGGLER}; FSDP's ranks meet at every layer, so that what comes and goes counts too"
OVERLAP = "kernels beside FSDP's gathers and scatters over kernels alone: NCCL holds multiprocessors and bandwidth"
TRITON = "flash attention in Triton of 2023 over the flash kernels of the table"
POINTWISE = "HSTU's attention backward over flash attention's at equal FLOPs"

FITTED = (
    Fitted(A100, "memory_under_load", 1.251, MEMORY, (1.0, 1.5), 1.0, (*SELENE, "mosaic_a100")),
    Fitted(A100, "straggler_per_doubling", 0.0046, STRAGGLER, (0.0, 0.01), 0.0039, SELENE),  # H100's
    Fitted(A100, "straggler_per_doubling@llm_foundry", 0.0130, FSDP, (0.0, 0.03), 0.0046, ("mosaic_a100",)),
    Fitted(A100, "attention_slowdown@llm_foundry", 1.41, TRITON, (1.0, 3.0), 1.25, ("mosaic_a100",)),
    Fitted(H100, "clock_under_load", 1.156, CLOCK, (1.0, 1.3), 1.0, ("dgxc_h100", "megatron_core_h100")),
    Fitted(H100, "straggler_per_doubling", 0.0039, STRAGGLER, (0.0, 0.01), 0.0046, ("dgxc_h100",)),  # A100's
    Fitted(H100, "clock_under_load@llm_foundry", 1.13, CLOCK, (1.0, 1.3), 1.156, ("mosaic_h100",)),
    Fitted(H100, "attention_slowdown@llm_foundry", 2.41, TRITON, (1.0, 4.0), 2.65, ("mosaic_h100",)),
    Fitted(H100, "data_overlap_slowdown@llm_foundry", 1.29, OVERLAP, (1.0, 2.0), 1.1256, ("mosaic_h100",)),
    Fitted(H100, "clock_under_load@h100_sxm5_96gb_500w", 1.455, CAPPED, (1.0, 1.8), 1.156, ("torchtitan_h100",)),
    Fitted(H100, "hstu_backward_slowdown", 1.312, POINTWISE, (1.0, 2.0), 1.0, ("hstu_kernels",)),
)
"""Without its own rows Triton's attention would be taken to lose what it does on the other chip: it is the same kernel,
on 132 / 108 multiprocessors at 1,755 / 1,410 MHz (1.52), where the table's kernels are 3.3 times as fast. H100:
1.41 x 3.3 / 1.52 / 1.156, the clock under load being in that ratio already; A100: 2.41 x 1.13 x 1.52 / 3.3."""

TRANSFERRED = ("straggler_per_doubling@llm_foundry",)
"""Of the software, not of the chip: H100's few rows on many nodes cannot tell it from what overlap costs them."""


def entries(profile: str) -> dict[str, dict]:
    """The fitted entries of one profile's `constants`, and those that another device's rows stand in for."""
    own = {fitted.name: fitted.entry() for fitted in FITTED if fitted.profile == profile}
    carried = {one.name: {**one.entry(), "kind": "transferred"} for one in FITTED if one.name in TRANSFERRED}
    return carried | own
