"""A DLRM's training step: MemTracker on the executor's modules against the simulator, within 10 %, kind by kind."""

from __future__ import annotations

import pytest
from tracked_ranks import track

from simulator.scenario.loader import scenario_from

ROWS, WIDTH = 512, 64
PLANS = [
    ("dot", {}),
    ("cat", {}),
    ("dcn_v2", {}),
    ("dot", {"dtype": "bf16"}),
    ("dcn_v2", {"dtype": "bf16"}),
    ("cat", {"dtype": "bf16", "optimizer": "sgd"}),
]
"""One rank: a fake process group brings no ids, on which rows of other ranks' tables would hang."""


def scenario(interaction: str, dtype: str = "fp32", optimizer: str = "adam"):
    tables = [
        {"name": f"t{place}", "rows": 2000, "dim": WIDTH, "pooling": "sum", "lookups_per_sample": 1 + place}
        for place in range(6)
    ]
    dense = {"bottom": [128, WIDTH], "top": [256, 128, 1], "interaction": interaction, "cross_rank": 32}
    return scenario_from({
        "schema_version": 1,
        "name": interaction,
        "model": {"trunk": {"block": "none"}, "tables": tables, "dense": dense},
        "dtype": dtype,
        "optimizer": optimizer,
        "cluster": {"preset": "cpu_host", "gpus_per_node": 1},
        "plan": {"microbatch": ROWS, "global_batch": 2 * ROWS},
    })  # fmt: skip


@pytest.mark.parametrize(("interaction", "keys"), PLANS, ids=[f"{name} {keys}" for name, keys in PLANS])
def test_memory_of_a_step(interaction, keys):
    found = track(scenario(interaction, **keys))
    story = f"measured / counted: {found.row(found.predicted)}"
    print(story)
    assert abs(found.off(found.predicted)) < 0.10, story
    kinds = found.counted(found.predicted)
    for kind in ("parameters", "gradients", "optimizer"):  # exact, but for Adam's step count: 4 bytes a bucket
        assert found.measured[kind] == pytest.approx(kinds[kind], abs=64), f"{kind}: {story}"
    assert found.measured["embeddings"] == pytest.approx(kinds["embeddings"], rel=0.02), story
    # beside 16-bit activations the interpreter keeps what was looked up in fp32, of which the model counts the cast
    copies = 6 * WIDTH * ROWS * 4 if keys.get("dtype") == "bf16" else 0
    assert 0.8 * kinds["alive"] < found.measured["alive"] < 1.2 * kinds["alive"] + copies, story
