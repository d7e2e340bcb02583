"""Keys of `plan.balancer` that deal layers to stages: rows for `test_knobs.py`, as in `table_knobs.py`."""

from __future__ import annotations

from knob_settings import DEEP

SLOW = DEEP + "; faults.stragglers=[{rank: 2, factor: 1.5}]"
STATIC = SLOW + "; plan.balancer.kind=static; plan.partition=[4, 4, 4, 4]"
PLACED = ("cluster.nodes=2; cluster.gpus_per_node=4; cluster.nic_gbit_per_s=50; plan.tensor=2; plan.pipeline=2; "
          "plan.microbatch=8; plan.global_batch=64; plan.balancer.kind=static; "
          "model.adapter={kind: lora, rank: 2, targets: [q]}")  # fmt: skip
ADAPTS = SLOW + "; plan.balancer.kind=adaptive; steps=15"

ROWS = [
    ("gpt", "plan.balancer.kind", "static", "none", "step", "<", SLOW),
    ("gpt", "plan.balancer.kind", "static", "none", "step", "<", DEEP + "; model.trunk.vocab=50000"),
    ("gpt", "plan.balancer.kind", "static", "none", "timeline", "=", DEEP),  # layers and ranks alike
    ("gpt", "plan.balancer.kind", "static", "none", "timeline", "=", ""),  # one stage
    ("gpt", "plan.balancer.kind", "static; plan.balancer.microbatches=equal", "none", "timeline", "=",
     SLOW + "; plan.partition=[2, 6, 4, 4]"),
    ("gpt", "plan.balancer.microbatches", "balanced", "equal", "step", "<", STATIC),
    ("gpt", "plan.balancer.microbatches", "[13, 19]", "equal", "step", "<", STATIC),
    ("gpt", "plan.balancer.microbatches", "[19, 13]", "equal", "step", ">", STATIC),
    ("gpt", "plan.balancer.placement", "traffic", "natural", "step", "<", PLACED),
    ("gpt", "plan.balancer.placement", "[0, 4, 1, 5, 2, 6, 3, 7]", "natural", "step", ">", PLACED),
    ("gpt", "plan.balancer.kind", "adaptive; steps=15", "none", "step_mean", "<", SLOW),
    ("gpt", "plan.balancer.kind", "adaptive; steps=15", "none", "step_mean", "=", DEEP),
    ("gpt", "plan.balancer.window", "3", "10", "step_mean", "<", ADAPTS),
    ("gpt", "plan.balancer.threshold", "0.6", "0.05", "step_mean", ">", ADAPTS + "; plan.balancer.window=3"),
]  # fmt: skip
