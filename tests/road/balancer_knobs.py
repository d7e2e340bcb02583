"""Keys of `plan.balancer` that deal layers to stages: rows for `test_knobs.py`, as in `table_knobs.py`."""

from __future__ import annotations

from knob_settings import DEEP

SLOW = DEEP + "; faults.stragglers=[{rank: 2, factor: 1.5}]"

ROWS = [
    ("gpt", "plan.balancer.kind", "static", "none", "step", "<", SLOW),
    ("gpt", "plan.balancer.kind", "static", "none", "step", "<", DEEP + "; model.trunk.vocab=50000"),
    ("gpt", "plan.balancer.kind", "static", "none", "timeline", "=", DEEP),  # layers and ranks alike
    ("gpt", "plan.balancer.kind", "static", "none", "timeline", "=", ""),  # one stage
    ("gpt", "plan.balancer.kind", "static", "none", "timeline", "=", SLOW + "; plan.partition=[2, 6, 4, 4]"),
]  # fmt: skip
