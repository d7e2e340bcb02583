"""A checked file to a Scenario: the cluster is built and every default that depends on something else is filled in."""

from __future__ import annotations

from typing import Any

from simulator import registry
from simulator.cluster import Cluster
from simulator.errors import ProfileError, ScenarioError
from simulator.plans import Plan
from simulator.scenario.keys import unknown_key
from simulator.scenario.legality import V_CHUNKS, check_plan, check_software, fitting_data
from simulator.scenario.not_yet import check_supported
from simulator.scenario.scenario import Scenario
from simulator.scenario.schema import ClusterSection, Precision, ScenarioFile
from simulator.scenario.source import Source

BUCKET_MIB = 25.0
"""PyTorch DDP's `bucket_cap_mb`."""

STORED_AS = {"tf32": "fp32", "fp8": "bf16"}
"""Compute modes whose parameters are kept in another dtype; all others are kept in their own."""


def resolve(stated: ScenarioFile, source: Source) -> Scenario:
    """The scenario of a file. Raises ScenarioError for what cannot work, NotSupportedYet for what is not built."""
    check_buckets(stated.plan, bucket_is_stated=_stated(source, "plan", "bucket_mib"))
    check_supported(stated)
    cluster = build_cluster(stated.cluster, source)
    plan = resolve_plan(stated.plan, cluster)
    resolved = stated.model_copy(
        update={
            "plan": plan,
            "precision": resolve_precision(stated.dtype, stated.precision),
            "cluster": _resolve_keywords(stated.cluster, cluster),
            "profile": _profile(stated, cluster),
        }
    )
    check_supported(resolved)
    scenario = Scenario(resolved, cluster, source)
    check_plan(scenario.model, plan, cluster)
    check_software(stated.software, plan)
    return scenario


def build_cluster(section: ClusterSection, source: Source) -> Cluster:
    """The cluster that a `cluster` section describes. Raises ScenarioError with the nearest name or keyword."""
    if section.preset is None:
        for key in section.model_extra or {}:
            raise source.error(("cluster", key), unknown_key(("cluster", key)))
        names = ", ".join(registry.topology_names())
        raise ScenarioError(f"preset is required; add `preset: dgx_a100` (one of {names})", key="cluster")
    keywords = {
        key: value
        for key, value in section
        if value is not None and key not in ("preset", "groups", "devices", "links")
    }
    if section.model_extra and section.preset in registry.topology_names():
        known = registry.topology_keywords(section.preset)
        for key in section.model_extra:
            if key not in known:
                raise source.error(("cluster", key), unknown_key(("cluster", key), known))
    return registry.topology(section.preset, **keywords)


def check_buckets(plan: Plan, *, bucket_is_stated: bool) -> None:
    """A bucket size that a file states has something to act on. The default is no statement."""
    if plan.zero == 3 and bucket_is_stated and plan.bucket_mib is not None:
        raise ScenarioError(
            f"{plan.bucket_mib:g} has no meaning with zero 3, which reduces block by block; remove bucket_mib",
            key="plan.bucket_mib",
        )


def resolve_plan(plan: Plan, cluster: Cluster) -> Plan:
    """The plan with `data` and `bucket_mib` as numbers (bucket_mib None with zero 3, which has no buckets).

    zb_v holds two chunks on each rank: the default of one says nothing about it.
    """
    bucket_mib = None if plan.zero == 3 else plan.bucket_mib or BUCKET_MIB
    data = plan.data if plan.data is not None else fitting_data(plan, cluster)
    chunks = V_CHUNKS if (plan.schedule, plan.virtual_stages) == ("zb_v", 1) else plan.virtual_stages
    return plan.model_copy(update={"data": data, "bucket_mib": bucket_mib, "virtual_stages": chunks})


def resolve_precision(dtype: str, precision: Precision) -> Precision:
    """Every dtype as a name.

    bf16 accumulates and reduces gradients in fp32 (Megatron-LM's default); fp16 keeps them in fp16 (its 2021 stack);
    tf32 is a way to multiply fp32 values, so all three are fp32.
    """
    stored = STORED_AS.get(dtype, dtype)
    wide = "fp32" if dtype in ("bf16", "fp8") else stored
    return Precision(
        parameters=precision.parameters or stored,
        gradients=precision.gradients or wide,
        reduce=precision.reduce or wide,
    )


def _resolve_keywords(section: ClusterSection, cluster: Cluster) -> ClusterSection:
    """The section with the keywords that the topology filled in itself, as far as it takes them."""
    node = cluster.node_type
    filled: dict[str, Any] = {
        "nodes": cluster.nodes,
        "gpus_per_node": node.gpus,
        "nics_per_node": node.nics,
        "nic_gbit_per_s": node.node_bytes_per_s * 8 / 1e9,
        "device": node.device.name,
    }
    takes = registry.topology_keywords(section.preset)
    return section.model_copy(
        update={key: value for key, value in filled.items() if key in takes and getattr(section, key) is None and value}
    )


def _profile(stated: ScenarioFile, cluster: Cluster) -> str | None:
    """The profile of a cluster of one device; a mapping is looked up. What is not there is said here, with its line."""
    profile, key = stated.profile, "profile"
    if isinstance(profile, tuple):
        device = cluster.node_type.device.name
        for name, _ in profile:
            if name != device:
                raise ScenarioError(f"the cluster has no device {name!r}; its device is {device}", key=f"{key}.{name}")
        profile, key = profile[0][1], f"{key}.{device}"
    if profile is not None:
        try:
            registry.profile_path(profile)
        except ProfileError as error:
            raise ScenarioError(str(error).removeprefix("profile: "), key=key) from None
    return profile


def _stated(source: Source, *path: str) -> bool:
    data = source.data
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True
