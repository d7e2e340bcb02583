"""A checked file to a Scenario: the cluster is built and every default that depends on something else is filled in."""

from __future__ import annotations

from dataclasses import replace

from simulator import registry
from simulator.cluster import Cluster, placed
from simulator.errors import ProfileError, ScenarioError
from simulator.plans import Plan
from simulator.scenario.clusters import build_cluster, with_keywords
from simulator.scenario.divisions import check_order
from simulator.scenario.faults import degraded, slow_ranks
from simulator.scenario.legality import V_CHUNKS, check_plan, check_software, fitting_data
from simulator.scenario.lengths import check_lengths, observed_lengths, resolve_lengths
from simulator.scenario.not_yet import check_supported
from simulator.scenario.scenario import Scenario
from simulator.scenario.schema import Data, Precision, Profiles, ScenarioFile
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
            "cluster": with_keywords(stated.cluster, cluster),
            "profile": resolve_profile(stated.profile, cluster),
            "data": Data(lengths=resolve_lengths(stated.data.lengths, stated.model.trunk.block)),
        }
    )
    check_supported(resolved)
    check_order(stated.model, plan, cluster)
    cluster = placed(cluster, plan.order)
    scenario = Scenario(resolved, cluster, source)
    check_plan(scenario.model, plan, cluster, pads=resolved.data.lengths.kind != "fixed")
    check_software(stated.software, plan)
    check_lengths(scenario.model, plan, resolved.data.lengths)
    straggling = slow_ranks(scenario)
    observed = observed_lengths(resolved.data.lengths)
    return replace(scenario, cluster=degraded(cluster, stated.faults), straggling=straggling, observed_lengths=observed)


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
        vectors=precision.vectors,
    )


def resolve_profile(profile: Profiles, cluster: Cluster) -> Profiles:
    """What is stated, as one name, or as (device, profile) pairs where devices differ. What is not there is said here.

    One name for devices that differ would price one from the other's measurements: it is refused.
    """
    devices = tuple(dict.fromkeys(node.device.name for node, _ in cluster.groups))
    several = " and ".join(devices)
    if isinstance(profile, str) and len(devices) > 1:
        pairs = ", ".join(f"{device}: {profile}" for device in devices)
        raise ScenarioError(f"{profile} would price {several} alike; give each its own: profile: {{{pairs}}}",
                            key="profile")  # fmt: skip
    if isinstance(profile, tuple):
        for name, _ in profile:
            if name not in devices:
                its = f"its device is {devices[0]}" if len(devices) == 1 else f"its devices are {several}"
                raise ScenarioError(f"the cluster has no device {name!r}; {its}", key=f"profile.{name}")
    named = {"profile": profile} if isinstance(profile, str) else {f"profile.{key}": one for key, one in profile or ()}
    for key, one in named.items():
        try:
            registry.profile_path(one)
        except ProfileError as error:
            raise ScenarioError(str(error).removeprefix("profile: "), key=key) from None
    return profile[0][1] if isinstance(profile, tuple) and len(devices) == 1 else profile


def _stated(source: Source, *path: str) -> bool:
    data = source.data
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True
