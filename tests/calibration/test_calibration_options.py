"""Options that cannot be used are refused with a sentence, before anything is measured."""

import json
from importlib.metadata import PackageNotFoundError
from math import log

import pytest

from calibration import calibrate as room
from calibration import grid, machine
from calibration.points import COLLECTIVE, KERNEL, Point, merged
from calibration.session import plan_visits
from simulator.costs import measured
from simulator.errors import ScenarioError

SASREC = """
schema_version: 1
name: s
model:
  trunk: {block: sasrec, layers: 1, hidden: 32, heads: 2, ffn: 32, vocab: 0, seq: 16}
  tables: [{name: item, rows: 100, dim: 32, pooling: none, optimizer: adam, dtype: fp32}]
  head: {kind: full_softmax, table: item, tied: true}
dtype: fp32
cluster: {preset: cpu_host, gpus_per_node: 2}
plan: {microbatch: 4, global_batch: 8}
"""


@pytest.fixture
def with_torch(monkeypatch):
    monkeypatch.setattr(room, "version", lambda name: "2.13.0")


def test_without_torch_it_says_what_to_install(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(room, "version", absent)
    with pytest.raises(room.NoTorch, match="pip install"):
        room.calibrate("cpu", budget_s=5)


def test_an_unknown_device_is_refused(with_torch):
    with pytest.raises(ScenarioError, match="use cpu, cuda, auto"):
        room.calibrate("tpu", budget_s=5)


def test_cuda_without_a_gpu_is_refused(with_torch, monkeypatch):
    monkeypatch.setattr(machine, "num_gpus", lambda: 0)
    with pytest.raises(ScenarioError, match="--device cpu"):
        room.calibrate("cuda", budget_s=5)


def test_auto_takes_the_gpu_where_there_is_one(with_torch, monkeypatch):
    for gpus, device in ((0, "cpu"), (2, "cuda")):
        monkeypatch.setattr(machine, "num_gpus", lambda gpus=gpus: gpus)
        assert room._resolve("auto")[0] == device


def test_a_missing_file_that_is_not_there_is_refused(with_torch):
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml"):
        room.calibrate("cpu", budget_s=5, missing=["nowhere.yaml"])


def test_what_a_scenario_asks_for_comes_first_and_once(tmp_path):
    """Then kernels, messages and units in an even mix; groups of four last."""
    path, scenario = tmp_path / "kernels.json", tmp_path / "s.yaml"
    path.write_text('[{"op": "gemm", "shape": [8, 16, 32]}]')
    scenario.write_text(SASREC)
    points, wanted = room._points("cpu", 0, [str(path), str(scenario)], budget_s=90)
    assert wanted == {point.key for point in points[1 : 1 + len(wanted)]}
    assert {"job", "kernel", "collective"} == {point.key.partition(" ")[0] for point in points[1 : 1 + len(wanted)]}
    assert (8, 16, 32) in {getattr(point, "shape", ()) for point in points[1 : 1 + len(wanted)]}
    assert len({point.key for point in points}) == len(points)
    assert {point.shape[0] for point in points[-40:]} == {4}
    short, _ = room._points("cpu", 0, [], budget_s=5)
    assert not any(getattr(point, "what", "") == "collective" and point.shape[0] == 4 for point in short)


def test_a_list_is_measured_and_nothing_else(with_torch, tmp_path):
    """What no machine by itself can send (between nodes, among more than four ranks) is passed over."""
    path = tmp_path / "m.json"
    messages = [
        {"op": op, "ranks": ranks, "nodes": nodes, "bytes": 64}
        for op, ranks, nodes in (("all_reduce", 2, 1), ("send", 2, 1), ("send", 2, 2), ("all_reduce", 8, 1))
    ]
    path.write_text(json.dumps([{"op": "gemm", "shape": [8, 16, 32]}, *messages]))
    points, wanted = room._points("cpu", 0, [str(path)], budget_s=90)
    assert [(point.op, point.shape) for point in points] == [
        ("gemm", (8, 16, 32)), ("all_reduce", (2, 64)), ("send", (2, 64))
    ]  # fmt: skip
    assert wanted == {point.key for point in points}


class Instant:
    """A fleet that measures in no time and counts its visits."""

    def __init__(self):
        self.visits: list[tuple[str, int]] = []

    def kernel(self, point, ranks, window_ns):
        self.visits.append((point.key, ranks))
        return [[[1000, 0]] * 3 for _ in range(ranks)]


@pytest.fixture
def session(monkeypatch, tmp_path):
    from journals import POINTS, context

    from calibration import session as module
    from calibration.journal import Journal

    monkeypatch.setattr(module, "MOST_ROUNDS", 3)
    fleet = Instant()
    wanted = frozenset({POINTS[0].key})
    out = str(tmp_path / "p.json")
    made = module.Session(fleet, Journal(), context(), POINTS, ranks=2, out=out, say=lambda *said: None, wanted=wanted)
    return made, fleet, POINTS


@pytest.mark.parametrize("text", ["[]", '[{"op": "all_reduce", "ranks": 64, "nodes": 8, "bytes": 1024}]'])
def test_a_list_that_asks_for_nothing_is_refused(with_torch, tmp_path, text):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(ScenarioError, match="asks for nothing that can be measured here"):
        room.calibrate("cpu", missing=[str(path)])


def test_a_list_of_messages_alone_is_measured_behind_one_kernel(with_torch, tmp_path):
    path = tmp_path / "m.json"
    path.write_text('[{"op": "all_reduce", "ranks": 2, "bytes": 1024}]')
    points, wanted = room._points("cpu", 0, [str(path)], 90.0)
    assert [(point.what, point.op) for point in points] == [("kernel", "gemm"), ("collective", "all_reduce")]
    assert wanted == {points[1].key}


def test_rounds_turn_and_what_is_wanted_comes_twice(session):
    made, fleet, points = session
    made.run(1e12)
    sentinel = made._sentinel.key
    found = [visit for visit in fleet.visits if visit[0] != sentinel]
    once = [(point.key, 2) for point in points] + [(point.key, 1) for point in points]
    assert found[: len(once)] == once
    assert found[-len(once) - 1 :].count((points[0].key, 2)) == 2
    assert found[len(once)] == once[-1]  # every second round goes backwards


def test_what_was_never_seen_comes_first(session):
    made, fleet, points = session
    for point in points[:-1]:
        made.journal.add(point, "together", [[5, 0]])
        made.journal.add(point, "alone", [[5, 0]])
    made.run(1e12)
    found = [visit for visit in fleet.visits if visit[0] != made._sentinel.key]
    assert found[:3] == [(points[-1].key, 2), (points[-1].key, 1), (points[0].key, 2)]


def test_a_time_that_is_too_short_reaches_every_family_that_is_wanted(session):
    """A profile without one of a scenario's families prices nothing of that scenario."""
    made, fleet, points = session
    families = list(dict.fromkeys(point.op for point in points))
    made.wanted = frozenset(point.key for point in points)
    made.run(0.0)
    assert [point.op for point in made.journal.points("together")] == families
    assert fleet.visits == [(next(point.key for point in points if point.op == op), 2) for op in families]


def test_a_budget_that_ends_after_a_third_has_some_of_every_family_and_most_of_its_sizes():
    points, _ = room._points("cpu", 0, (), 300.0)
    kernels = [one for one in points if isinstance(one, Point) and one.what == KERNEL]
    assert len({one.key for one in kernels}) == len(kernels) == len(merged(grid.kernel_points("fp32")))
    third = kernels[: len(kernels) // 3]
    assert {one.op for one in third} == {one.op for one in kernels}
    for op in {one.op for one in third}:
        whole, part = ([log(measured.work(op, one.dtype, one.shape)[1]) for one in some if one.op == op]
                       for some in (kernels, third))  # fmt: skip
        if len(part) >= 6:
            assert max(part) - min(part) >= 0.7 * (max(whole) - min(whole)), op


def test_a_revisit_takes_what_a_step_is_made_of_and_of_that_what_is_asked_for(session, monkeypatch):
    made, fleet, points = session
    messages = [Point(COLLECTIVE, "all_reduce", "fp32", (2, size)) for size in (1024, 2048)]
    made.wanted = frozenset(one.key for one in (*messages, points[0]))
    made.visits = plan_visits([*points, *messages], 2)
    asked = []
    monkeypatch.setattr(fleet, "collective", lambda point, repeats: asked.append(point) or [[[0, 5]], [[0, 5]]], False)
    made.revisit()
    made.revisit(frozenset({messages[1].key}))
    assert asked == [*messages, messages[1]]
