"""A run with software.compile trains the same model as one without it; where nothing could compile it is refused."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("torch")

from simulator import execute, scenario_from
from simulator.errors import ScenarioError
from simulator.executor import compiled

SMALL = {
    "schema_version": 1,
    "name": "compiled",
    "model": {"trunk": {"block": "llama", "layers": 2, "hidden": 32, "heads": 4, "vocab": 64, "seq": 16}},
    "dtype": "fp32",
    "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
    "plan": {"tensor": 2, "sequence_parallel": True, "recompute": "selective_op", "microbatch": 2, "global_batch": 4},
}


@pytest.mark.full
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_run_has_the_losses_of_a_plain_one():
    plain, fused = (execute(scenario_from({**SMALL, "software": {"compile": one}}), steps=3) for one in (False, True))
    assert fused.losses == pytest.approx(plain.losses, rel=1e-5) and plain.losses[0] > plain.losses[-1] > 0


def test_without_a_compiler_it_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    scenario = scenario_from({**SMALL, "software": {"compile": True}})
    with pytest.raises(ScenarioError, match=r"needs a C\+\+ compiler.*software\.compile false"):
        execute(scenario, steps=1)
