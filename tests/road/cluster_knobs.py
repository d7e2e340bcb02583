"""Knobs of spelt-out and mixed clusters and of faults, as rows for `knobs.Knob`; what is looked at by name."""

MIXED = "cluster={groups: [{preset: dgx_h100, nodes: 1}, {preset: dgx_a100, nodes: 1}]}; plan.tensor=1"
STAR = ("cluster={devices: [{name: a, count: 4, device: a100_sxm4_80gb}], links: [{ends: [a, sw], gbit_per_s: 100}]};"
        "plan.tensor=1")  # fmt: skip
PAIRS = ("cluster={devices: [{name: a, count: 2, device: a100_sxm4_80gb}, {name: b, count: 2, device: a100_sxm4_80gb}],"
         "links: [{ends: [a, sw], gbit_per_s: 100}, {ends: [b, sw], gbit_per_s: 100}]}; plan.tensor=1")  # fmt: skip
SLOW_RANK = "faults={stragglers: [{rank: 0, factor: 2}]}"
SLOW_PORT = "faults={links: [{link: node0/port0, factor: 10}]}; cluster.nodes=2; plan.tensor=1"
TWO_LEAVES = "cluster={preset: fat_tree, nodes: 4, nodes_per_leaf: 2}; plan.tensor=8"
TWO_PODS = "cluster={preset: rail_optimized, nodes: 4, nodes_per_pod: 2}; plan.tensor=8"
LARGE = "model.trunk.hidden=4096; model.trunk.heads=32; model.trunk.seq=1024; plan.global_batch=48"

ROWS = [
    ("gpt", "cluster.groups.1.preset", "dgx_h100", "dgx_a100", "step", "<", MIXED),
    ("gpt", "cluster.groups.1.preset", "dgx_h100", "dgx_a100", "timeline", "!=", MIXED),
    ("gpt", "cluster.groups.1.nodes", "2", "1", "step", "<", f"{MIXED}; {LARGE}"),
    ("gpt", "cluster.groups.1.gpus_per_node", "4", "8", "step", ">", f"{MIXED}; {LARGE}"),
    ("gpt", "cluster.groups.1.nic_gbit_per_s", "100", "1600", "step", ">", MIXED),
    ("gpt", "cluster.groups.1.nics_per_node", "1", "8", "step", ">", MIXED),
    ("gpt", "cluster.groups.0.device", "a100_sxm4_80gb", "h100_sxm5_80gb", "step", ">=", MIXED),
    ("gpt", "cluster.devices.0.name", "b; cluster.links.0.ends=[b, sw]", "a", "timeline", "=", STAR),
    ("gpt", "cluster.devices.0.count", "2", "4", "step", ">", f"{STAR}; {LARGE}"),
    ("gpt", "cluster.devices.0.device", "h100_sxm5_80gb", "a100_sxm4_80gb", "step", "<", STAR),
    ("gpt", "cluster.links.0.ends", "[a, hub]", "[a, sw]", "timeline", "=", STAR),
    ("gpt", "cluster.links.0.gbit_per_s", "25", "100", "step", ">", STAR),
    ("gpt", "cluster.links.0.latency_s", "0.001", "0", "step", ">", PAIRS),
    ("gpt", "cluster.links.0.latency_s", "0.001", "0", "step", ">", STAR),
    ("gpt", "cluster.links.0.latency_s", "5.0e-7", "0", "timeline", "=", STAR),  # two such hops the profile holds
    ("gpt", "faults.stragglers.0.rank", "7", "0", "step", "=", f"{SLOW_RANK}; plan.tensor=1"),  # replicas are alike
    ("gpt", "faults.stragglers.0.factor", "2", "1", "step", ">", SLOW_RANK),
    ("gpt", "faults.stragglers.0.from_step", "1", "0", "step", "<", SLOW_RANK),  # step 0 is what is simulated
    ("gpt", "faults.stragglers.0.to_step", "1", "null", "timeline", "=", SLOW_RANK),
    ("gpt", "faults.links.0.link", "node1/port0", "node0/port0", "step", "=", SLOW_PORT),
    ("gpt", "faults.links.0.link", "gpu3", "node0/port3", "step", "<", SLOW_PORT),
    ("gpt", "faults.links.0.factor", "10", "2", "step", ">", SLOW_PORT),
    ("gpt", "faults.links.0.factor", "10", "0.1", "timeline", "=", SLOW_PORT),  # the share that is left
    ("gpt", "faults.links.0.from_step", "1", "0", "step", "<", SLOW_PORT),
    ("gpt", "faults.links.0.to_step", "1", "null", "timeline", "=", SLOW_PORT),
    ("gpt", "cluster.oversubscription", "16", "1", "step", ">", TWO_LEAVES),
    ("gpt", "cluster.oversubscription", "16", "1", "step", ">", TWO_PODS),
    ("gpt", "cluster.nodes_per_leaf", "4", "2", "step", "<", f"{TWO_LEAVES}; cluster.oversubscription=16"),
    ("gpt", "cluster.nodes_per_pod", "4", "2", "step", "<", f"{TWO_PODS}; cluster.oversubscription=16"),
    ("gpt", "cluster.spines", "3", "0", "step", ">=", f"{TWO_LEAVES}; cluster.oversubscription=4"),
    ("gpt", "cluster.preset", "pcie_box", "dgx_a100", "step", ">", "plan.tensor=1"),
]  # fmt: skip
