"""Devices, each with the datasheet its figures come from. Peaks are dense (without structured sparsity).

Datasheets state memory bandwidth and links in GB/s = 10^9 bytes/s and PCIe both ways together; an allocator's "80GB" is
80 * 2^30 bytes. bf16 and fp16 share their peak on every tensor core since Ampere.
"""

from __future__ import annotations

from simulator.cluster import Device
from simulator.errors import ScenarioError
from simulator.units import GIB
from topologies.keywords import nearest

TERA = 1e12
GIGA = 10**9

_HOPPER_PEAKS = (("bf16", 989 * TERA), ("fp16", 989 * TERA), ("fp8", 1979 * TERA), ("tf32", 494.5 * TERA),
                 ("fp32", 67 * TERA))  # fmt: skip
_AMPERE_PEAKS = (("bf16", 312 * TERA), ("fp16", 312 * TERA), ("tf32", 156 * TERA), ("fp32", 19.5 * TERA))

A100_SXM4_80GB = Device(
    name="a100_sxm4_80gb",
    memory_bytes=80 * GIB,
    memory_bandwidth_bytes_per_s=2039 * GIGA,
    peak_flops_per_s=_AMPERE_PEAKS,
    host_link_bytes_per_s=32 * GIGA,
    profile="a100_sxm4_80gb",
)
"""NVIDIA A100 Tensor Core GPU datasheet (Jun 2021), SXM 80GB column: 312 TFLOPS bf16, 2,039 GB/s, PCIe Gen4 64 GB/s."""

A100_SXM4_40GB = Device(
    name="a100_sxm4_40gb",
    memory_bytes=40 * GIB,
    memory_bandwidth_bytes_per_s=1555 * GIGA,
    peak_flops_per_s=_AMPERE_PEAKS,
    host_link_bytes_per_s=32 * GIGA,
    profile="a100_sxm4_80gb",
    profile_bandwidth_bytes_per_s=2039 * GIGA,
)
"""The same datasheet, SXM 40GB column: 1,555 GB/s. Priced from its 80GB sibling, memory scaled."""

A100_PCIE_80GB = Device(
    name="a100_pcie_80gb",
    memory_bytes=80 * GIB,
    memory_bandwidth_bytes_per_s=1935 * GIGA,
    peak_flops_per_s=_AMPERE_PEAKS,
    host_link_bytes_per_s=32 * GIGA,
    profile="a100_sxm4_80gb",
    profile_bandwidth_bytes_per_s=2039 * GIGA,
)
"""The same datasheet, PCIe 80GB column: 1,935 GB/s, 300 W. Priced from its SXM sibling, memory scaled; that 300 W hold
its clock down under load is not in the price."""

H100_SXM5_80GB = Device(
    name="h100_sxm5_80gb",
    memory_bytes=80 * GIB,
    memory_bandwidth_bytes_per_s=3350 * GIGA,
    peak_flops_per_s=_HOPPER_PEAKS,
    host_link_bytes_per_s=64 * GIGA,
    profile="h100_sxm5_80gb",
)
"""NVIDIA H100 Tensor Core GPU datasheet (2023), SXM column: 1,979 TFLOPS bf16 with sparsity (989 dense), 3.35 TB/s,
PCIe Gen5 128 GB/s."""

H100_SXM5_96GB_500W = Device(
    name="h100_sxm5_96gb_500w",
    memory_bytes=96 * GIB,
    memory_bandwidth_bytes_per_s=2400 * GIGA,
    peak_flops_per_s=_HOPPER_PEAKS,
    host_link_bytes_per_s=64 * GIGA,
    profile="h100_sxm5_80gb",
    profile_bandwidth_bytes_per_s=3350 * GIGA,
)
"""Meta's H100 of Grand Teton as torchtitan's benchmarks state it (arXiv 2410.06511, section 3): 96 GB of HBM2e at
2.4 TB/s, capped at 500 W. Priced from its 700 W sibling, memory scaled; what the cap does to its clock is a constant of
that profile (`clock_under_load@h100_sxm5_96gb_500w`)."""

H100_PCIE_80GB = Device(
    name="h100_pcie_80gb",
    memory_bytes=80 * GIB,
    memory_bandwidth_bytes_per_s=2000 * GIGA,
    peak_flops_per_s=(("bf16", 756 * TERA), ("fp16", 756 * TERA), ("fp8", 1513 * TERA), ("tf32", 378 * TERA),
                      ("fp32", 51 * TERA)),
    host_link_bytes_per_s=64 * GIGA,
)  # fmt: skip
"""NVIDIA H100 Tensor Core GPU datasheet (2023), PCIe column: 1,513 TFLOPS bf16 with sparsity (756 dense), 2 TB/s. Fewer
multiprocessors than the SXM part (114 of 132), so that part's profile is not its own: priced from the datasheet."""

H200_SXM_141GB = Device(
    name="h200_sxm_141gb",
    memory_bytes=141 * GIB,
    memory_bandwidth_bytes_per_s=4800 * GIGA,
    peak_flops_per_s=_HOPPER_PEAKS,
    host_link_bytes_per_s=64 * GIGA,
    profile="h100_sxm5_80gb",
    profile_bandwidth_bytes_per_s=3350 * GIGA,
)
"""NVIDIA H200 Tensor Core GPU datasheet (2024): the H100's compute, 141 GB at 4.8 TB/s. Priced from its sibling."""

B200_SXM_180GB = Device(
    name="b200_sxm_180gb",
    memory_bytes=180 * GIB,
    memory_bandwidth_bytes_per_s=8000 * GIGA,
    peak_flops_per_s=(("bf16", 2250 * TERA), ("fp16", 2250 * TERA), ("fp8", 4500 * TERA), ("tf32", 1125 * TERA),
                      ("fp32", 75 * TERA)),
    host_link_bytes_per_s=64 * GIGA,
)  # fmt: skip
"""NVIDIA DGX B200 datasheet (2024), an eighth of the system: 1,440 GB and 64 TB/s in all, 72 PFLOPS FP8 (training) with
sparsity, so 4.5 dense a GPU, halved for bf16. No profile: priced from the datasheet."""

V100_SXM3_32GB = Device(
    name="v100_sxm3_32gb",
    memory_bytes=32 * GIB,
    memory_bandwidth_bytes_per_s=900 * GIGA,
    peak_flops_per_s=(("fp16", 125 * TERA), ("fp32", 15.7 * TERA)),
    host_link_bytes_per_s=16 * GIGA,
)
"""NVIDIA V100 datasheet (2020), SXM2/SXM3 column: 125 TFLOPS fp16 tensor, 900 GB/s, PCIe Gen3 32 GB/s. No bf16."""

DEVICES = {
    device.name: device
    for device in (
        A100_SXM4_80GB, A100_SXM4_40GB, A100_PCIE_80GB, H100_SXM5_80GB, H100_SXM5_96GB_500W, H100_PCIE_80GB,
        H200_SXM_141GB, B200_SXM_180GB, V100_SXM3_32GB,
    )
}  # fmt: skip


def find_device(name: str | Device) -> Device:
    """The device of this name; capitals and dashes do not matter. Raises ScenarioError with the nearest names."""
    if isinstance(name, Device):
        return name
    key = str(name).lower().replace("-", "_").replace(" ", "_")
    if key not in DEVICES:
        hint = nearest(key, DEVICES)
        raise ScenarioError(f"{name!r} is not a known device; {hint}", key="cluster.device")
    return DEVICES[key]
