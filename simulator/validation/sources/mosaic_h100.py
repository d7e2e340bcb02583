"""MPT on H100 by PyTorch FSDP, 760M to 30B, 8 to 512 GPUs."""

from __future__ import annotations

from simulator.validation import mosaic
from simulator.validation.cases import Case

CITATION = mosaic.CITATION
READINGS = (*mosaic.READINGS, "3200 Gb/s a node, as a DGX H100 has (not stated)")

NOT_UNSEEN = (
    "clock_under_load of profile h100_sxm5_80gb comes from an earlier study of published clusters that did not record "
    "its rows"
)

CLUSTERS = {"h100_80gb": {"preset": "dgx_h100"}}


def cases() -> tuple[Case, ...]:
    """27 rows."""
    return mosaic.mosaic_cases("mosaic_h100", CLUSTERS)
