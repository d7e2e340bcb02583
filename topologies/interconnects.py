"""What joins devices: NVSwitch by its generation inside a box, InfiniBand or EFA between boxes."""

from __future__ import annotations

from simulator.cluster import Fabric, NodeFabric
from topologies.keywords import flag

NVLINK_BYTES_PER_S = {2: 150 * 10**9, 3: 300 * 10**9, 4: 450 * 10**9, 5: 900 * 10**9}
"""By generation, what a device sends and receives at once: 6, 12 and 18 links of 25 GB/s, and 18 of 50 GB/s."""

NVSWITCH_LATENCY_S = 1.0e-6
"""Assumed: one NVSwitch hop, GPU to GPU; the software's start-up time is in the profile, not here."""

INFINIBAND_LATENCY_S = 2.5e-6
"""Assumed: NIC to NIC through a three-level fat tree (about 0.6 us a ConnectX-6 or -7, 0.13 us a Quantum switch,
cables)."""

EFA_LATENCY_S = 10e-6
"""Assumed: card to card, several times InfiniBand's: SRD, EFA's transport, sprays packets and reorders them."""

EDR_GBIT_PER_S, HDR_GBIT_PER_S, NDR_GBIT_PER_S = 100, 200, 400
"""One InfiniBand NIC (ConnectX-5, -6 and -7)."""

EFA_GBIT_PER_S = 100
"""One network card of AWS."""


def nvswitch(generation: int, in_switch_reduction: object = False) -> NodeFabric:
    """NVSwitch over NVLink of a generation. in_switch_reduction: NVLS, which switches have since NVLink 4."""
    reduces = flag("in_switch_reduction", in_switch_reduction)
    return NodeFabric("nvswitch", NVLINK_BYTES_PER_S[generation], NVSWITCH_LATENCY_S, reduces)


def infiniband(in_network_reduction: object = False) -> Fabric:
    """A fabric that blocks nothing. in_network_reduction: SHARP, which Quantum switches have and a site must set up."""
    return Fabric(INFINIBAND_LATENCY_S, in_network_reduction=flag("in_network_reduction", in_network_reduction))


def efa() -> Fabric:
    """AWS's UltraCluster, which blocks nothing."""
    return Fabric(EFA_LATENCY_S)
