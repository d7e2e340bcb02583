"""Devices that differ: each is priced, limited and counted as what it is, and who meets waits for the slower one."""

import pytest
from road_scenarios import answer

from simulator import kinds

BIG = ("software.stack=current; model.trunk.hidden=4096; model.trunk.heads=32; model.trunk.seq=1024; plan.tensor=4;"
       "plan.global_batch=16")  # fmt: skip
H100, A100, OLD = (f"{{preset: {name}, nodes: 1, nics_per_node: 8, nic_gbit_per_s: 1600}}"
                   for name in ("dgx_h100", "dgx_a100", "dgx_a100_40gb"))  # fmt: skip


def on(*groups, more=""):
    """The answer of one model on these nodes, all on NICs of one rate."""
    sets = [part.strip() for part in f"{BIG}; {more}".split(";") if part.strip()]
    return answer("gpt", f"cluster={{groups: [{', '.join(groups)}]}}", *sets)


def compute_ns(result, rank):
    """ns that compute runs on the representative of a rank."""
    timeline = result.timeline
    own = next(index for index, members in enumerate(result.expanded.members) if rank in members)
    chosen = (timeline.rank_index == own) & (timeline.kind == kinds.CODE["compute"])
    return int((timeline.end_ns - timeline.start_ns)[chosen].sum())


def test_a_mixed_step_is_the_slower_devices_step():
    """Replicas with equal work: the H100 half waits for the A100 half."""
    fast, mixed, slow = on(H100, H100), on(H100, A100), on(A100, A100)
    assert fast.step_time_s < mixed.step_time_s <= 1.05 * slow.step_time_s
    assert mixed.step_time_s > 0.9 * slow.step_time_s
    # beside its gradients' reduction backward runs slower, and the two wait for that at different moments
    assert compute_ns(mixed, 0) == pytest.approx(compute_ns(fast, 0), rel=0.02)
    assert compute_ns(mixed, 8) == pytest.approx(compute_ns(slow, 8), rel=0.02)
    assert compute_ns(mixed, 8) > 1.5 * compute_ns(mixed, 0)


def test_who_is_faster_waits_and_it_does_not_matter_who_is_first():
    for stack in ("current", "null"):  # null: one job runs one software, the newest of the devices' profiles
        one, other = (on(*groups, more=f"software.stack={stack}") for groups in ((H100, A100), (A100, H100)))
        assert one.timeline.step_ns == pytest.approx(other.timeline.step_ns, rel=1e-3)
        assert one.to_dict()["ranks_simulated"] == 2, "a representative for each kind"


def test_groups_of_one_kind_are_the_plain_cluster():
    plain = answer("gpt", "cluster.nodes=2", *(part.strip() for part in BIG.split(";")))
    assert on(A100, A100).timeline.digest() == plain.timeline.digest()


def test_each_device_has_its_own_memory_limit():
    """38.5 GiB of a 40 GiB part are too few where 78.5 GiB are enough; the rank that is short is one that has them."""
    roomy, tight = on(A100, A100, more="model.trunk.layers=48"), on(A100, OLD, more="model.trunk.layers=48")
    assert roomy.feasible and not tight.feasible
    assert roomy.memory.tightest.peak == tight.memory.tightest.peak
    assert tight.reason.startswith("rank 8 needs") and "has 38.50 GiB" in tight.reason
    assert [own.limit for own in tight.memory.per_rank] == [own.limit for own in roomy.memory.per_rank] + [38.5 * 2**30]
    assert "the smallest change that fits is --set" in tight.reason


def test_peak_flops_and_mfu_are_of_both():
    mixed = on(H100, A100)
    assert mixed.flops.peak_flops_per_s == 8 * 989e12 + 8 * 312e12
    assert mixed.to_dict()["mfu"] == pytest.approx(mixed.flops.model / mixed.step_time_s / (8 * (989e12 + 312e12)))


def test_stages_on_different_devices_take_their_own_time():
    """The first stage on H100, the second on A100: a pipeline is as fast as its slowest stage, faster than all slow."""
    two = "plan.pipeline=2; plan.data=2"
    mixed, slow, fast = on(H100, A100, more=two), on(A100, A100, more=two), on(H100, H100, more=two)
    assert fast.step_time_s < mixed.step_time_s < slow.step_time_s
    assert compute_ns(mixed, 0) == compute_ns(fast, 0)
    assert compute_ns(mixed, 8) == compute_ns(slow, 8)


def test_a_stated_profile_prices_its_device_only():
    swapped = on(H100, A100, more="profile={h100_sxm5_80gb: a100_sxm4_80gb}")
    own = on(H100, A100)
    assert compute_ns(swapped, 8) == compute_ns(own, 8)
    assert compute_ns(swapped, 0) != compute_ns(own, 0)
    assert swapped.run_id != own.run_id


def test_a_device_without_a_profile_warns_for_itself():
    mixed = on(A100, "{preset: dgx_b200, nodes: 1}")
    assert any("b200_sxm_180gb has no cost profile" in warning for warning in mixed.warnings)
    assert 0 < mixed.provenance["datasheet"] < 1


@pytest.mark.parametrize("sockets", [1, 2])
def test_a_pcie_box_is_as_slow_as_its_one_link(sockets):
    """All-reduces of eight over 32 GB/s instead of 300 GB/s: bytes take that much longer, start-up does not; the stack
    of 2021 hides none."""
    keys = ("software.stack=megatron_2021", "plan.tensor=8", "model.trunk.hidden=4096", "model.trunk.heads=32")
    box = answer("gpt", f"cluster={{preset: pcie_box, sockets: {sockets}}}", *keys)
    switched = answer("gpt", "cluster={preset: dgx_a100}", *keys)
    ratio = box.breakdown["tensor_comm"] / switched.breakdown["tensor_comm"]
    assert 4 < ratio < 300 / 32


def test_a_slow_bridge_slows_what_crosses_it_only():
    keys = ("model.trunk.hidden=4096", "model.trunk.heads=32", "cluster.preset=pcie_box")
    for tensor, sign in ((8, 1), (4, 0)):
        plain, slow = (answer("gpt", *keys, f"plan.tensor={tensor}", f"plan.data={8 // tensor}",
                              f"cluster.bridge_gbit_per_s={rate}") for rate in (500, 50))  # fmt: skip
        assert (slow.breakdown["tensor_comm"] > plain.breakdown["tensor_comm"]) == bool(sign)
