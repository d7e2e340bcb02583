"""Prices of a device that nobody measured: shares of its peaks, each dtype's own."""

import pytest

from simulator.costs.pricer import Pricer
from simulator.model.work import Kernel
from simulator.registry import topology
from simulator.units import DTYPE_BYTES


@pytest.mark.parametrize(("dtype", "share"), [("fp16", 0.6), ("fp32", 0.9)])
def test_a_large_product_reaches_the_share_of_its_dtypes_own_peak(dtype, share):
    """A V100's tensor cores are hard to feed; its fp32 products are plain multiply-adds, an eighth of that rate."""
    cluster = topology("dgx2_v100", nodes=1)
    peak = dict(cluster.node_type.device.peak_flops_per_s)[dtype]
    size = 8192
    product = Kernel("gemm", (size, size, size), dtype, 2 * size**3, 3 * DTYPE_BYTES[dtype] * size**2)
    price = Pricer(None, cluster).kernel(product)
    assert price.source == "datasheet"
    assert 2 * size**3 / (price.duration_ns * 1e-9) / peak == pytest.approx(share, rel=0.01)
