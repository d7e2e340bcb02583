"""MPT on H100 by PyTorch FSDP, 760M to 30B, 8 to 512 GPUs."""

from __future__ import annotations

from simulator.validation import mosaic
from simulator.validation.cases import Case

CITATION = mosaic.CITATION
READINGS = (*mosaic.READINGS, "3200 Gb/s a node, as a DGX H100 has (not stated)")

FIT_ROWS = (
    "760m T2048 b24x2 on 8 h100_80gb DEFAULT",
    "7b T2048 b6x1 on 8 h100_80gb DEFAULT",
    "30b T2048 b3x21 on 8 h100_80gb DEFAULT",
    "7b T2048 b6x1 on 512 h100_80gb DEFAULT",
    "30b T2048 b8x1 on 512 h100_80gb DEFAULT",
    "7b T32768 b2x2 on 8 h100_80gb DEFAULT",
)
"""Each model at its own sequence on one node, the largest run of two, a long sequence."""

CLUSTERS = {"h100_80gb": {"preset": "dgx_h100"}}


def cases() -> tuple[Case, ...]:
    """27 rows."""
    return mosaic.mosaic_cases("mosaic_h100", CLUSTERS)
