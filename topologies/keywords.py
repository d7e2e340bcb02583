"""Turns a topology's keywords into a node type; what cannot be is refused with the number and a way out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

from simulator.cluster import Device, NodeFabric, NodeType
from simulator.errors import ScenarioError
from simulator.units import gbit_per_s
from simulator.values import MAX_INTEGER


def nearest(name: str, names: Iterable[str]) -> str:
    """A remedy: the nearest valid name, or all of them when none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "use one of " + ", ".join(names)


def whole(key: str, value: object, *, least: int = 1) -> int:
    """A count the user gave. Raises ScenarioError when it is not an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_INTEGER:
        raise ScenarioError(
            f"{value!r} is not a whole number from {least} to 2^53; write for example {max(least, 8)}",
            key=f"cluster.{key}",
        )
    return value


def real(key: str, value: object, *, least: float, example: float) -> float:
    """A number the user gave. Raises ScenarioError when it is not a finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= least):
        raise ScenarioError(
            f"{value!r} is not a number of at least {least:g}; write for example {example:g}", key=f"cluster.{key}"
        )
    return float(value)


def rate(key: str, value: object, *, example: float) -> float:
    """A rate in Gb/s that the user gave. Raises ScenarioError when it is not a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ScenarioError(
            f"{value!r} is not a rate in Gb/s above 0; write for example {example:g}", key=f"cluster.{key}"
        )
    return float(value)


def flag(key: str, value: object) -> bool:
    """True or false as the user gave it. Raises ScenarioError for anything else."""
    if not isinstance(value, bool):
        raise ScenarioError(f"{value!r} is neither true nor false; write one of them", key=f"cluster.{key}")
    return value


def node_type(
    device: Device,
    fabric: NodeFabric,
    *,
    gpus_per_node: int,
    nics_per_node: int | None,
    nic_gbit_per_s: float | None,
    nic_gbit_each: float,
    nics_per_gpu: float = 1,
) -> NodeType:
    """A node whose NICs follow the datasheet unless stated otherwise.

    nics_per_node: default nics_per_gpu times the GPUs, at least one. nic_gbit_per_s: Gb/s of all NICs of the node
    together, default nic_gbit_each times their number.
    """
    gpus = whole("gpus_per_node", gpus_per_node)
    nics = whole("nics_per_node", max(1, int(gpus * nics_per_gpu)) if nics_per_node is None else nics_per_node)
    total = nics * nic_gbit_each
    if nic_gbit_per_s is not None:
        total = rate("nic_gbit_per_s", nic_gbit_per_s, example=total)
    if gpus % nics and nics % gpus:
        raise ScenarioError(
            f"{nics} NICs cannot be dealt evenly to {gpus} GPUs; use {math.gcd(gpus, nics)} or {gpus}",
            key="cluster.nics_per_node",
        )
    return NodeType(device, gpus, nics, gbit_per_s(total / nics), fabric)
