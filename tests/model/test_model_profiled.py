"""Block profiled: layers that are known only by their measured times."""

import pytest

from simulator import scenario_from, simulate
from simulator.errors import ScenarioError

MS = 10**6
LAYERS = [
    {"forward_s": 0.001, "backward_s": 0.002, "parameters": 1_000_000, "activation_bytes": 4_000_000},
    {"forward_s": 0.003, "backward_s": 0.005, "parameters": 4_000_000, "activation_bytes": 1_000_000},
    {"forward_s": 0.002, "backward_s": 0.004, "activation_bytes": 2_000_000},
]


def scenario(*sets, layers=LAYERS, **plan):
    return scenario_from({
        "schema_version": 1, "name": "known-by-times", "model": {"trunk": {"block": "profiled", "layers": layers}},
        "optimizer": "sgd", "cluster": {"preset": "dgx2_v100", "gpus_per_node": plan.pop("gpus", 1)},
        "plan": {"microbatch": 1, "global_batch": plan.get("data", 1), **plan},
    }, sets)  # fmt: skip


def test_a_step_takes_the_times_that_are_stated_and_the_update():
    result = simulate(scenario())
    assert result.breakdown["compute"] == 17 * MS
    assert result.timeline.step_ns == 17 * MS + result.breakdown["optimizer"]


def test_times_are_the_authors_own_on_whatever_device():
    stated = simulate(scenario())
    assert stated.provenance["published"] == pytest.approx(17 * MS / stated.timeline.step_ns)
    assert simulate(scenario("cluster={preset: single_gpu}")).breakdown["compute"] == 17 * MS
    assert stated.to_dict()["mfu"] is stated.to_dict()["model_flops_per_gpu_per_s"] is None  # no FLOPs are known
    slow = simulate(scenario("faults={stragglers: [{rank: 0, factor: 2}]}"))
    assert slow.breakdown["compute"] == 34 * MS


def test_samples_do_not_scatter_what_is_stated():
    result = simulate(scenario(), samples=5)
    assert {result.breakdown["compute"]} == {17 * MS}


def test_gradients_and_memory_are_those_of_the_stated_parameters():
    result = simulate(scenario(gpus=2, data=2, bucket_mib=1))
    sent = [launch.action.size_bytes for launch in result.program.ranks[0].launches if launch.action.verb == "reduce"]
    assert sum(sent) == 5_000_000 * 4 and len(sent) == 2  # fp32; the layer without parameters joins its neighbour
    kinds = dict(result.memory.tightest.by_kind)
    assert kinds["parameters"] == 5_000_000 * 2 and kinds["activations"] >= 7_000_000


def test_a_pipeline_hands_on_each_stages_own_output():
    result = simulate(scenario(gpus=3, pipeline=3, global_batch=2))
    sent = {
        (own.rank, launch.action.of): launch.action.size_bytes
        for own in result.program.ranks
        for launch in own.launches
        if launch.action.verb == "send"
    }
    assert sent == {(0, "F"): 4_000_000, (1, "F"): 1_000_000, (1, "B"): 4_000_000, (2, "B"): 1_000_000}
    for own in result.program.ranks:  # what one sends the other receives
        for launch in own.launches:
            if launch.action.verb == "recv":
                source = own.rank + (-1 if launch.action.of == "F" else 1)
                assert launch.action.size_bytes == sent[source, launch.action.of]


def test_balanced_stages_are_balanced_in_the_stated_times():
    result = simulate(scenario("plan.partition=balanced", gpus=2, pipeline=2, layers=[*LAYERS, *LAYERS[:1]]))
    assert [chunk.last - chunk.first + 1 for own in result.program.ranks for chunk in own.chunks] == [2, 2]


@pytest.mark.parametrize(
    "sets, words",
    [
        (("plan.recompute=full",), "full takes layers apart"),
        (("plan.schedule=zb_h1",), "only the time of the whole is known"),
        (("model.tables=[{name: item, rows: 10, dim: 4}]",), "block profiled has no tables"),
        (("model.trunk.vocab=100",), "block profiled has no vocab"),
    ],
)
def test_what_needs_the_inside_of_a_layer_is_refused(sets, words):
    with pytest.raises(ScenarioError, match=words):
        scenario(*sets)
    with pytest.raises(ScenarioError, match=r"2 takes layers apart.*plan.tensor=1"):
        scenario(gpus=2, tensor=2)


def test_times_cannot_be_executed():
    from simulator.executor.executable import check_executable

    with pytest.raises(ScenarioError, match="times without weights, so there is nothing to execute"):
        check_executable(scenario(), None, "gloo")
