"""What the host does between two steps that are replayed as graphs, counted as NVIDIA's DLRM script has it."""

import pytest

from simulator.model import host
from simulator.model.stacks import STACKS
from simulator.model.tables import loads
from simulator.model.work import Host
from simulator.program.cuts import cut_of
from simulator.scenario.loader import scenario_from
from simulator.validation.sources.recsys_dlrm import cases

ROWS = {case.name.removeprefix("PyTorch DLRM, "): scenario_from(case.scenario) for case in cases()[:4]}
EXAMPLES = STACKS["deeplearning_examples"]
EIGHT, ONE = "large, 8 A100 yes", "small, 1 A100 yes"


def opening(name, has_bottom=False):
    stated = ROWS[name]
    return host.opening(stated, cut_of(stated, stack=EXAMPLES), has_bottom=has_bottom)


def copied(steps):
    return [step.bytes_moved for step in steps if not isinstance(step, Host)]


def launches(steps):
    return sum(step.launches for step in steps if isinstance(step, Host))


def test_on_one_gpu_numbers_ids_and_labels_are_copied_and_the_graph_is_launched():
    steps = opening(ONE)
    # read and written: 13 numbers in fp16, 26 ids, a label
    assert copied(steps) == [2 * 2 * 13 * 65536, 2 * 8 * 26 * 65536, 2 * 4 * 65536]
    assert launches(steps) == 4 and isinstance(steps[-1], Host)


def test_on_eight_each_rank_copies_what_it_works_on():
    stated = ROWS[EIGHT]
    ids = sum(load.read for load in loads(stated))
    assert copied(opening(EIGHT)) == [2 * 8 * ids, 2 * 4 * 8192]
    assert copied(opening(EIGHT, has_bottom=True)) == [2 * 2 * 13 * 65536, 2 * 4 * 8192]
    assert launches(opening(EIGHT)) == 3


def test_a_scale_is_read_back_before_the_dense_update_and_inverted_again_for_the_tables():
    steps = host.readback(ROWS[EIGHT])
    # the flag, the dense update; _scale.double().reciprocal().float(), a zero, one pass over the tables' gradients
    assert launches(steps) == 2 + 4 + 1
    assert [isinstance(step, Host) for step in steps[:6]] == [False] * 4 + [True] * 2  # the graph hides the first four
    fused = scenario_from(cases()[0].scenario, set=("plan.embedding_fused_optimizer=true",))
    assert launches(host.readback(fused)) == 2


@pytest.mark.parametrize("name", ["large, 8 A100 TF32", "small, 1 A100 TF32"])
def test_without_a_scale_the_update_is_launched_while_the_graph_runs(name):
    assert host.readback(ROWS[name]) == host.closing(ROWS[name]) == ()
