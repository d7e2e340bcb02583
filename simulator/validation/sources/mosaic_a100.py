"""MPT on A100 by PyTorch FSDP, 125M to 30B, sequences of 512 to 65,536."""

from __future__ import annotations

from simulator.validation import mosaic
from simulator.validation.cases import Case

CITATION = mosaic.CITATION
READINGS = (*mosaic.READINGS, "1600 Gb/s of RoCE a node, eight NICs")

CLUSTERS = {
    "a100_80gb": {"preset": "dgx_a100", "nic_gbit_per_s": 1600},
    "a100_40gb": {"preset": "dgx_a100_40gb", "nic_gbit_per_s": 1600},
}


def cases() -> tuple[Case, ...]:
    """82 rows."""
    return mosaic.mosaic_cases("mosaic_a100", CLUSTERS)
