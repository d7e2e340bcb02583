"""A `cluster` section to a Cluster: a topology with its keywords, groups of nodes, or devices and links spelt out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from simulator import registry
from simulator.cluster import Cluster, Device, Fabric, Link
from simulator.cluster.inline import device_names, inline_cluster
from simulator.errors import ScenarioError
from simulator.scenario.keys import nearest, unknown_key
from simulator.scenario.schema import ClusterSection, InlineDevice, InlineLink, NodeGroup
from simulator.scenario.source import Path, Source, dotted
from simulator.units import gbit_per_s

FORMS = ("preset", "groups", "devices")


def build_cluster(section: ClusterSection, source: Source) -> Cluster:
    """The cluster that a `cluster` section describes. Raises ScenarioError with the nearest name or keyword."""
    forms = [form for form in FORMS if getattr(section, form) is not None]
    if len(forms) > 1:
        raise ScenarioError(
            f"{forms[1]} stands beside {forms[0]}, and a cluster is one of them; keep one of the two",
            key=f"cluster.{forms[1]}",
        )
    if section.links is not None and section.devices is None:
        raise ScenarioError("links join `devices`, and there are none; add them or use a preset", key="cluster.links")
    if section.preset is not None:
        return _topology(section, ("cluster",), source)
    keywords = _keywords(section)
    for key in section.model_extra or {}:
        raise source.error(("cluster", key), unknown_key(("cluster", key)))
    if forms and keywords:
        key = next(iter(keywords))
        where = "each group" if forms[0] == "groups" else "a preset"
        raise ScenarioError(f"{key} belongs to {where} and says nothing beside {forms[0]}; move or remove it",
                            key=f"cluster.{key}")  # fmt: skip
    if section.groups is not None:
        return _joined(section.groups, source)
    if section.devices is not None:
        return _spelt_out(section.devices, section.links or ())
    names = ", ".join(registry.topology_names())
    raise ScenarioError(f"preset is required; add `preset: dgx_a100` (one of {names})", key="cluster")


def with_keywords(section: ClusterSection, cluster: Cluster) -> ClusterSection:
    """The section with every keyword that its topologies filled in themselves."""
    if section.groups is not None:
        pairs = zip(section.groups, cluster.groups, strict=True)
        return section.model_copy(update={"groups": tuple(_filled(group, *built) for group, built in pairs)})
    return section if section.preset is None else _filled(section, *cluster.groups[0])


def _filled(group: Any, node: Any, count: int) -> Any:
    built: dict[str, Any] = {
        "nodes": count,
        "gpus_per_node": node.gpus,
        "nics_per_node": node.nics,
        "nic_gbit_per_s": node.node_bytes_per_s * 8 / 1e9,
        "device": node.device.name,
    }
    defaults = registry.topology_defaults(group.preset)
    known = {key: value for key, value in {**defaults, **built}.items() if key in defaults and value is not None}
    return group.model_copy(update={key: value for key, value in known.items() if getattr(group, key, None) is None})


def _keywords(group: NodeGroup) -> dict[str, object]:
    """What is stated for a topology."""
    return {key: value for key, value in group if value is not None and key not in (*FORMS, "links")}


def _topology(group: Any, path: Path, source: Source) -> Cluster:
    """The cluster of one preset; errors about its keywords stand at `path`."""
    if group.model_extra and group.preset in registry.topology_names():
        known = tuple(registry.topology_defaults(group.preset))
        for key in group.model_extra:
            if key not in known:
                raise source.error((*path, key), unknown_key((*path, key), known))
    try:
        return registry.topology(group.preset, **_keywords(group))
    except ScenarioError as error:
        key = (error.key or "").removeprefix("cluster.")
        raise type(error)(error.message, key=f"{dotted(path)}.{key}") from None


def _joined(groups: tuple[NodeGroup, ...], source: Source) -> Cluster:
    """Groups of nodes, in rank order, on one fabric: as slow as its slowest part, and it reduces if all of it can."""
    if not groups:
        raise ScenarioError("there is no group; add `- {preset: dgx_a100, nodes: 2}`", key="cluster.groups")
    parts = [_topology(group, ("cluster", "groups", place), source) for place, group in enumerate(groups)]
    first = parts[0].fabric
    for place, part in enumerate(parts):
        if _shape(part.fabric) != _shape(first):
            raise ScenarioError(
                f"group {place} ({part.name}) is on {_words(part.fabric)} and group 0 ({parts[0].name}) on "
                f"{_words(first)}, and all groups share one network; give them the same (fat_tree and rail_optimized "
                "take any `device`)",
                key=f"cluster.groups.{place}.preset",
            )
        if not part.groups[0][0].ports and sum(other.nodes for other in parts) > 1:
            raise ScenarioError(
                f"group {place} ({part.name}) has no NIC to reach the others; use a topology that has, such as "
                "dgx_a100 with gpus_per_node 1",
                key=f"cluster.groups.{place}.preset",
            )
    fabric = replace(
        first,
        latency_s=max(part.fabric.latency_s for part in parts),
        in_network_reduction=all(part.fabric.in_network_reduction for part in parts),
    )
    built = tuple(group for part in parts for group in part.groups)
    return Cluster(built, fabric, name=" + ".join(dict.fromkeys(part.name for part in parts)))


def _shape(fabric: Fabric) -> tuple:
    return fabric.kind, fabric.oversubscription, fabric.nodes_per_leaf, fabric.spines


def _words(fabric: Fabric) -> str:
    if not fabric.has_leaves:
        return "a nonblocking network"
    words = f"a {fabric.kind} of {fabric.nodes_per_leaf} nodes a leaf at {fabric.oversubscription:g}:1"
    return words + (f" with {fabric.spines} spines" if fabric.spines else "")


def _spelt_out(devices: tuple[InlineDevice, ...], links: tuple[InlineLink, ...]) -> Cluster:
    """Devices and links by name; what is not a device is a switch."""
    ends: dict[str, tuple[str, ...]] = {}
    entries = []
    for place, entry in enumerate(devices):
        names = device_names(entry.name, entry.count)
        for name in dict.fromkeys((entry.name, *names)):
            if name in ends or ">" in name or "/" in name:
                why = "holds > or /" if name not in ends else "is there twice"
                raise ScenarioError(
                    f"the name {name!r} {why}; call it something else", key=f"cluster.devices.{place}.name"
                )
            ends[name] = names if name == entry.name else (name,)
        entries.append((entry.name, entry.count, _device(entry, place)))
    if not entries:
        raise ScenarioError("there is no device; add `- {name: gpu, count: 4, device: a100_sxm4_80gb}`",
                            key="cluster.devices")  # fmt: skip
    _check_switches(ends, links)
    wires: dict[str, Link] = {}
    for place, link in enumerate(links):
        for source, target in _each_way(ends, link, place):
            wire = Link(source, target, gbit_per_s(link.gbit_per_s), link.latency_s)
            if wire.name in wires:
                raise ScenarioError(
                    f"{source} and {target} are joined twice; write one link with the rates added up",
                    key=f"cluster.links.{place}.ends",
                )
            wires[wire.name] = wire
    return inline_cluster(entries, wires.values())


def _device(entry: InlineDevice, place: int) -> Device:
    """The device an entry names, or that it is itself called."""
    name = entry.device or entry.name
    try:
        return registry.device(name)
    except ScenarioError as error:
        advice = "" if entry.device else " (name what it is with `device: ...`)"
        key = f"cluster.devices.{place}.{'device' if entry.device else 'name'}"
        raise ScenarioError(error.message + advice, key=key) from None


def _each_way(ends: Mapping[str, tuple[str, ...]], link: InlineLink, place: int) -> Iterator[tuple[str, str]]:
    """Both directions of a link; one for each device where an end is an entry of several."""
    one, other = (ends.get(end, (end,)) for end in link.ends)
    pairs = dict.fromkeys(tuple(sorted((a, b))) for a in one for b in other if a != b)
    if not pairs:
        raise ScenarioError(f"{link.ends[0]} is joined to itself; name two ends", key=f"cluster.links.{place}.ends")
    for a, b in pairs:
        yield a, b
        yield b, a


def _check_switches(ends: Mapping[str, tuple[str, ...]], links: tuple[InlineLink, ...]) -> None:
    """A switch that one wire touches joins nothing: most likely it is a name misspelt."""
    touched: dict[str, int] = {}
    for link in links:
        one, other = link.ends
        for end, opposite in ((one, other), (other, one)):
            if end not in ends:
                touched[end] = touched.get(end, 0) + len(ends.get(opposite, (opposite,)))
    for place, link in enumerate(links):
        for end in link.ends:
            if touched.get(end) == 1:
                close = nearest(end, [name for name in (*ends, *touched) if name != end])
                hint = f"did you mean {close}?" if close else "join it to something else, or leave the link out"
                raise ScenarioError(
                    f"{end!r} is no device, and as a switch it has one wire only; {hint}",
                    key=f"cluster.links.{place}.ends",
                )
