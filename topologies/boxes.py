"""The box that each device is sold in, and machine rooms of such boxes below leaf switches."""

from __future__ import annotations

import inspect
from importlib import import_module

from simulator.cluster import Cluster, Device, Fabric
from simulator.errors import ScenarioError
from topologies.devices import find_device
from topologies.keywords import flag, real, whole

BOXES = {
    "a100_sxm4_80gb": "dgx_a100",
    "a100_sxm4_40gb": "dgx_a100_40gb",
    "a100_pcie_80gb": "pcie_box",
    "h100_sxm5_80gb": "dgx_h100",
    "h100_sxm5_96gb_500w": "dgx_h100",
    "h100_pcie_80gb": "pcie_box",
    "h200_sxm_141gb": "dgx_h200",
    "b200_sxm_180gb": "dgx_b200",
    "v100_sxm3_32gb": "dgx2_v100",
}
"""Device -> topology."""


def box_of(device: str | Device, in_switch_reduction: bool | None = None, **keywords: object) -> Cluster:
    """One node of the device's own box; keywords that are None stay the box's own.

    Raises ScenarioError for in-switch reduction in a box whose switch cannot.
    """
    from topologies import TOPOLOGIES

    chip = find_device(device)
    name = BOXES[chip.name]
    build = getattr(import_module(TOPOLOGIES[name]), name)
    if in_switch_reduction is not None:
        if "in_switch_reduction" in inspect.signature(build).parameters:
            keywords["in_switch_reduction"] = in_switch_reduction
        elif flag("in_switch_reduction", in_switch_reduction):
            raise ScenarioError(
                f"what joins the GPUs of a {name} does not add up all-reduces; leave it out, or use device "
                "h100_sxm5_80gb or later",
                key="cluster.in_switch_reduction",
            )
    return build(device=chip, **{key: value for key, value in keywords.items() if value is not None})


def room_of(
    kind: str,
    device: str | Device,
    *,
    nodes: int,
    nodes_per_leaf: int,
    oversubscription: float,
    spines: int,
    in_switch_reduction: bool | None,
    in_network_reduction: bool,
    **box_keywords: object,
) -> Cluster:
    """Boxes of `device` below leaf switches: a `Fabric` of this kind, called by its name.

    box_keywords: as in `box_of`. Raises ScenarioError for a number that cannot be.
    """
    box = box_of(device, in_switch_reduction, **box_keywords)
    fabric = Fabric(
        box.fabric.latency_s,
        kind,
        real("oversubscription", oversubscription, least=1.0, example=2.0),
        flag("in_network_reduction", in_network_reduction),
        nodes_per_leaf,
        whole("spines", spines, least=0),
    )
    return Cluster(((box.node_type, whole("nodes", nodes)),), fabric, name=kind)
