"""What a plan, its samples and its slow ranks are in words: every choice that changes the step is named."""

from types import SimpleNamespace

import pytest

from simulator.model.spec import Trunk
from simulator.plans import Plan
from simulator.report.plan_words import faults_words, lengths_words, plan_words, steps_words
from simulator.report.words import asked
from simulator.scenario.schema import Faults, Lengths

BATCH = {"data": 4, "microbatch": 1, "global_batch": 32}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "data 4, recompute none"),
        ({"balancer": {"kind": "length"}}, "samples dealt out by length"),
        ({"balancer": {"kind": "adaptive", "threshold": 0.02}}, "adaptive balancer (window 10 steps, threshold 2 %)"),
        ({"pipeline": 2, "partition": (7, 5)}, "stages of 7+5 layers, recompute none"),
        ({"pipeline": 2, "partition": "balanced"}, "stages balanced in FLOPs, recompute none"),
        ({"zero": 3, "shard_group": 2, "reshard_after_forward": False},
         "ZeRO 3 among every 2 ranks, parameters kept after forward"),
        ({"aggregation": {"algorithm": "in_switch", "order": "priority"}},
         "in switch reductions, reductions by priority"),
        ({"compression": {"method": "topk"}, "aggregation": {"sparse": "balanced"}}, "topk compression, balanced sums"),
        ({"overlap": {"grad_reduce": False}}, "gradients reduced after the backward pass"),
        ({"tensor": 2, "sequence_parallel": True, "overlap": {"tensor": True}}, "tensor communication beside products"),
    ],
)  # fmt: skip
def test_what_differs_from_plain_training_is_said(keys, words):
    assert plan_words(Plan(**BATCH, **keys)).endswith(words)


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ({}, "every sample has 1,024 positions"),
        ({"kind": "zipf", "alpha": 1.2, "max": 4096, "layout": "packed"},
         "Zipf 1.2, at most 1,024 positions, packed without padding"),
        ({"kind": "file", "path": "/far/away/lengths.txt", "layout": "padded"},
         "drawn from the file lengths.txt, at most 1,024 positions, padded to the longest sample of a microbatch"),
        ({"kind": "dataset", "name": "ml-100k", "layout": "packed"},
         "drawn from ml-100k, at most 1,024 positions, packed without padding"),
    ],
)  # fmt: skip
def test_lengths_are_told_with_what_cuts_them(lengths, words):
    trunk = Trunk(block="sasrec", layers=1, hidden=64, heads=2, seq=1024)
    assert lengths_words(Lengths(**lengths), trunk) == words


def test_a_row_of_a_dlrm_has_no_length():
    assert lengths_words(Lengths(), Trunk(block="none")) == ""


def test_slow_ranks_are_told_together_where_they_are_slow_together():
    slow = [{"rank": rank, "factor": 1.5} for rank in (3, 1)]
    later = [{"rank": rank, "factor": 2.0, "from_step": 5, "to_step": 9} for rank in range(4)]
    faults = Faults(stragglers=(*slow, *later))
    words = "ranks 1, 3 1.50 times slower; 4 ranks 2.00 times slower from step 5 to step 9"
    assert faults_words(SimpleNamespace(faults=faults)) == words


def test_a_run_of_one_step_has_no_line_for_steps_and_one_of_many_says_what_is_shown(made_result):
    scenario = made_result.scenario
    assert steps_words(scenario) == "" and "Steps" not in dict(asked(scenario))
    many = SimpleNamespace(num_draws=100, samples_differ=True)
    assert steps_words(many).startswith("the mean of 100 steps, each with samples of its own; timeline")
