"""Keys of `data.lengths`: rows for `test_knobs.py`, as in `table_knobs.py`."""

from __future__ import annotations

ZIPF = "data.lengths.kind=zipf; data.lengths.alpha=1.2; data.lengths.max=1024"
MANY = ZIPF + "; steps=5; model.trunk.layers=8"
SHORT = ZIPF.replace("1024", "200")

LENGTH_ROWS = [
    ("hstu", "data.lengths.kind", "fixed", "zipf; data.lengths.alpha=1.2; data.lengths.max=1024", "step", ">", ""),
    ("hstu", "data.lengths.alpha", "1.1", "1.5", "step", ">", "data.lengths.kind=zipf; data.lengths.max=1024"),
    ("hstu", "data.lengths.max", "200", "1024", "step", "<", "data.lengths.kind=zipf; data.lengths.alpha=1.2"),
    ("hstu", "data.lengths.max", "4096", "1024", "timeline", "=", "data.lengths.kind=zipf; data.lengths.alpha=1.2"),
    ("hstu", "data.lengths.layout", "packed", "padded", "step", "<", ZIPF),
    ("hstu", "data.lengths.layout", "packed", "-", "timeline", "=", ZIPF),
    ("sasrec", "data.lengths.layout", "packed", "padded", "step", "<", SHORT),
    ("sasrec", "data.lengths.layout", "padded", "-", "timeline", "=", SHORT),
    ("sasrec", "data.lengths.layout", "padded", "packed", "memory activations", ">", SHORT),
    ("sasrec", "data.lengths.layout", "padded", "packed", "sent exchange ids", "=", SHORT),  # real ids either way
    ("gpt", "data.lengths.layout", "packed", "padded", "timeline", "=", ""),  # equal lengths leave nothing to pad
    ("hstu", "steps", "3", "1", "step_mean", "!=", ZIPF),
    ("hstu", "steps", "3", "1", "step_mean", "=", ""),
    ("hstu", "seed", "1", "0", "step", "!=", ZIPF),
    ("hstu", "plan.balancer.kind", "length", "none", "step_mean", "<", MANY),
    ("hstu", "plan.balancer.kind", "length", "none", "time_of straggler_wait", "<", MANY),
    ("hstu", "plan.balancer.kind", "length", "none", "launches shuffle samples", ">", MANY),
    ("hstu", "plan.balancer.kind", "length", "none", "timeline", "=", ""),  # equal lengths are balanced
    ("hstu", "plan.balancer.kind", "length", "none", "timeline", "=", MANY + "; plan.tensor=4; plan.pipeline=2"),
    ("hstu", "plan.balancer.kind", "length", "none", "step_mean", "<", MANY + "; plan.context=2"),
    ("hstu", "plan.balancer.kind", "length", "none", "launches shuffle samples", ">", MANY + "; plan.context=2"),
    ("hstu", "data.lengths.layout", "packed", "padded", "step", "<", ZIPF + "; plan.context=2"),
    ("hstu", "data.lengths.layout", "packed", "padded", "step", "<", ZIPF + "; plan.context=2; "
     "plan.context_kind=all_to_all"),
    ("sasrec", "plan.balancer.kind", "length", "none", "step", "<", SHORT + "; plan.global_batch=1024"),
]  # fmt: skip
