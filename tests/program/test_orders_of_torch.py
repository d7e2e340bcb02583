"""Our action lists are those of torch.distributed.pipelining, where it has the schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.program import pipeline_schedule

torch_orders = pytest.importorskip("torch_orders")
torch_order = torch_orders.torch_order


@given(st.integers(1, 6), st.integers(1, 20))
def test_gpipe(stages, microbatches):
    assert pipeline_schedule("gpipe", stages, microbatches) == torch_order("gpipe", stages, microbatches)


@given(st.integers(1, 6), st.integers(0, 14))
def test_1f1b(stages, more):
    """torch 2.13 numbers the last rank's forwards from 1: that rank is compared by verbs. It wants m >= p."""
    ours = pipeline_schedule("1f1b", stages, stages + more)
    theirs = torch_order("1f1b", stages, stages + more)
    assert ours[:-1] == theirs[:-1]
    assert verbs(ours[-1]) == verbs(theirs[-1])


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(2, 4))
def test_interleaved_1f1b(stages, rounds, more, chunks):
    """Rounds of equal size, at least p microbatches each where there are several: others torch refuses. With one chunk
    it runs ahead twice as far as 1F1B."""
    microbatches = rounds * (stages + more)
    if microbatches // stages == rounds or microbatches < stages:
        chosen = ("interleaved_1f1b", stages, microbatches, chunks)
        assert pipeline_schedule(*chosen) == torch_order(*chosen)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 6))
def test_zb_h1(stages, rounds, more):
    """torch deals microbatches into m // p equal rounds, or refuses."""
    microbatches = min(more, stages) if rounds == 1 else rounds * stages
    chosen = ("zb_h1", stages, microbatches)
    assert pipeline_schedule(*chosen) == torch_order(*chosen)


@given(st.integers(1, 6), st.integers(1, 20))
def test_zb_v(stages, microbatches):
    """Also with fewer microbatches than fill the pipeline."""
    assert pipeline_schedule("zb_v", stages, microbatches, 2) == torch_order("zb_v", stages, microbatches, 2)


def verbs(actions):
    return [action.strip("0123456789") for action in actions]
