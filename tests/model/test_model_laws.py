"""Laws of blocks that hold for every model, batch and degree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import BERT_LARGE, GPT_22B, HSTU, LLAMA3_8B

from simulator.model.blocks import MODES, Cut, backward, forward, kept_bytes, units
from simulator.model.work import Kernel, forward_flops

MODELS = st.sampled_from([GPT_22B, LLAMA3_8B, HSTU, BERT_LARGE])
TENSOR = st.sampled_from([1, 2, 4])
ATTENTION = st.sampled_from(["flash", "unfused"])


def layer_units(model):
    return [unit for unit in units(model) if unit.layer == 0]


def moved(steps):
    return sum(step.bytes_moved for step in steps if isinstance(step, Kernel))


@given(MODELS, TENSOR, ATTENTION, st.integers(1, 4), st.sampled_from([64, 256]))
def test_shards_together_do_the_work_of_the_whole(model, tensor, attention, batch, seq):
    whole = Cut(batch, seq, attention=attention)
    shard = Cut(batch, seq, tensor=tensor, attention=attention)
    for unit in layer_units(model):
        for function in (forward, backward):
            assert tensor * forward_flops(function(model, unit, shard)) == forward_flops(function(model, unit, whole))


@given(MODELS, ATTENTION, st.integers(1, 4), st.sampled_from([64, 256]), st.booleans())
def test_more_shards_move_and_keep_less(model, attention, batch, seq, sharded):
    cuts = [Cut(batch, seq, tensor=t, sequence_parallel=sharded, attention=attention) for t in (1, 2, 4)]
    for unit in layer_units(model):
        for function in (forward, backward):
            sizes = [moved(function(model, unit, cut)) for cut in cuts]
            assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
        kept = [kept_bytes(model, unit, cut) for cut in cuts]
        assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1]


@given(MODELS, TENSOR, ATTENTION, st.integers(1, 4))
def test_sequence_parallelism_divides_all_that_is_kept(model, tensor, attention, batch):
    shard = Cut(batch, 64, tensor=tensor, sequence_parallel=True, attention=attention)
    whole = Cut(batch, 64, attention=attention)
    for unit in layer_units(model):
        assert tensor * kept_bytes(model, unit, shard) == kept_bytes(model, unit, whole)


@given(MODELS, ATTENTION, st.integers(1, 8))
def test_kept_bytes_grow_with_the_batch_and_shrink_with_recompute(model, attention, batch):
    cut, double = (Cut(size, 64, attention=attention) for size in (batch, 2 * batch))
    for unit in layer_units(model):
        assert kept_bytes(model, unit, double) == 2 * kept_bytes(model, unit, cut)
        kept = [kept_bytes(model, unit, cut, mode) for mode in MODES]
        assert kept == sorted(kept, reverse=True)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_equal_lengths_and_a_plain_batch_are_the_same_work(lengths):
    seq = max(lengths)
    packed = Cut(len(lengths), seq, lengths=(seq,) * len(lengths))
    for unit in units(HSTU)[:2]:
        assert forward(HSTU, unit, packed) == forward(HSTU, unit, Cut(len(lengths), seq))
    jagged = Cut(len(lengths), seq, lengths=tuple(lengths))
    assert forward_flops(forward(HSTU, units(HSTU)[1], jagged)) <= forward_flops(forward(HSTU, units(HSTU)[1], packed))


@pytest.mark.parametrize("model", [GPT_22B, LLAMA3_8B, HSTU, BERT_LARGE])
def test_layers_are_alike(model):
    cut = Cut(2, 64, tensor=2)
    first, last = units(model)[1], next(u for u in reversed(units(model)) if u.kind == units(model)[1].kind)
    assert first.layer != last.layer
    assert forward(model, first, cut) == forward(model, last, cut)
    assert backward(model, first, cut) == backward(model, last, cut)
