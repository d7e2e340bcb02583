"""MPT on A100 by PyTorch FSDP, 125M to 30B, sequences of 512 to 65,536."""

from __future__ import annotations

from simulator.validation import mosaic
from simulator.validation.cases import Case

CITATION = mosaic.CITATION
READINGS = (*mosaic.READINGS, "1600 Gb/s of RoCE a node, eight NICs")

FIT_ROWS = (
    "7b T32768 b2x2 on 8 a100_80gb DEFAULT",
    "350m T32768 b2x2 on 8 a100_80gb DEFAULT",
    "7b T2048 b18x1 on 32 a100_40gb PURE",
    "7b T2048 b18x1 on 128 a100_40gb PURE",
)
"""Two long sequences, of heads 128 and 64 wide; a small and a largest run."""

CLUSTERS = {
    "a100_80gb": {"preset": "dgx_a100", "nic_gbit_per_s": 1600},
    "a100_40gb": {"preset": "dgx_a100_40gb", "nic_gbit_per_s": 1600},
}


def cases() -> tuple[Case, ...]:
    """139 rows."""
    return mosaic.mosaic_cases("mosaic_a100", CLUSTERS)
