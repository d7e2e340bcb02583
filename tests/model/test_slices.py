"""Slices of samples over a context group: nothing is lost, nothing is twice, and nobody has more to attend to."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.model.blocks import Cut
from simulator.model.lengths import laid_out
from simulator.model.slices import ids_at_rows, ids_by_slice, packed_runs, places_of_rows, real_rows, runs_of_slice

SEQ = 64
some_lengths = st.lists(st.integers(1, SEQ), min_size=1, max_size=6)


def laid(lengths, layout="packed", causal=True, **plan) -> Cut:
    return laid_out(Cut(len(lengths), SEQ, **plan), lengths, layout, causal=causal)


def test_a_causal_ring_pairs_an_early_chunk_with_a_late_one():
    assert runs_of_slice(4, 0, 3, zigzag=True) == ((0, 2), (10, 2))
    assert runs_of_slice(4, 2, 3, zigzag=True) == ((4, 2), (6, 2))
    assert runs_of_slice(4, 2, 3, zigzag=False) == ((8, 4),)


@given(some_lengths, st.sampled_from([1, 2, 4]), st.sampled_from(["ring", "all_to_all"]), st.sampled_from([1, 2, 4]),
       st.booleans(), st.booleans())  # fmt: skip
def test_ranks_have_every_position_once(lengths, context, kind, tensor, sequence, causal):
    cut = laid(lengths, causal=causal, context=context, context_kind=kind, tensor=tensor, sequence_parallel=sequence)
    seen = [[] for _ in lengths]
    for rank in range(context):
        *runs, filler = packed_runs(cut, rank, causal=causal)
        assert sum(count for own in (*runs, filler) for _, count in own) == cut.tokens
        for sample, own in enumerate(runs):
            seen[sample] += [place for first, count in own for place in range(first, first + count)]
    for places, whole in zip(seen, cut.lengths, strict=True):
        assert sorted(places) == list(range(whole))


@given(some_lengths, st.sampled_from([2, 4]), st.booleans())
def test_in_a_packed_ring_every_rank_has_as_many_keys_in_front_of_its_queries(lengths, context, causal):
    """Of each sample, padding included: the balance that chunks r and 2c - 1 - r are for."""
    cut = laid(lengths, causal=causal, context=context)
    work = np.zeros((context, len(lengths)), np.int64)
    for rank in range(context):
        for sample, own in enumerate(packed_runs(cut, rank, causal=causal)[:-1]):
            places = np.concatenate([np.arange(first, first + count) for first, count in own])
            work[rank, sample] = (places + 1).sum() if causal else len(places) * cut.lengths[sample]
    assert (work == work[0]).all()


@given(some_lengths, st.sampled_from([1, 2, 4]), st.sampled_from(["ring", "all_to_all"]), st.sampled_from([1, 2]),
       st.booleans(), st.sampled_from(["packed", "padded"]))  # fmt: skip
def test_real_positions_are_the_samples_and_the_busiest_rank_has_most(lengths, context, kind, tensor, sequence, layout):
    cut = laid(lengths, layout, context=context, context_kind=kind, tensor=tensor, sequence_parallel=sequence)
    counts = []
    shards = tensor if sequence else 1
    for rank, shard in product(range(context), range(shards)):
        rows = real_rows(cut, lengths, rank, causal=True)
        assert len(rows) == cut.tokens
        counts.append(int(np.split(rows, shards)[shard].sum()))
    assert sum(counts) == sum(lengths)
    assert tuple(counts) == ids_by_slice(cut, tuple(lengths), None, causal=True)


def test_who_has_the_padding_asks_for_less():
    """One sample of 1 in a causal ring of 2 is filled up to 4 positions, of which the first is on rank 0."""
    cut = laid([1], context=2)
    assert cut.lengths == (4,)
    assert [real_rows(cut, [1], rank, causal=True).tolist() for rank in (0, 1)] == [[True, False], [False, False]]
    assert ids_by_slice(cut, (1,), None, causal=True) == (1, 0)


@pytest.mark.parametrize("context, filled", [(2, 12), (4, 16)])
def test_by_heads_only_the_whole_pack_is_filled_up(context, filled):
    cut = laid([5, 6], context=context, context_kind="all_to_all", tensor=2, sequence_parallel=True)
    assert cut.lengths == (5, 6) and cut.tokens * context == filled
    ring = laid([5, 6], context=context, tensor=2, sequence_parallel=True)
    assert ring.lengths == {2: (8, 8), 4: (8, 8)}[context]


@given(some_lengths, st.integers(1, 12), st.sampled_from([1, 2, 4]), st.sampled_from(["ring", "all_to_all"]),
       st.sampled_from(["packed", "padded"]))  # fmt: skip
def test_each_id_of_a_sample_stands_at_one_position_and_positions_have_as_many_as_others(
    lengths, each, context, kind, layout
):
    """Fewer ids than positions stand in front; of more, no position has two more than another."""
    cut = laid(lengths, layout, context=context, context_kind=kind)
    found = [np.zeros(length, int) for length in lengths]
    for rank in range(context):
        counts = ids_at_rows(cut, lengths, each, rank, causal=True)
        samples, places = places_of_rows(cut, rank, causal=True)
        for sample, place, count in zip(samples, places, counts, strict=True):
            if count:
                found[sample][place] += count
    for length, own in zip(lengths, found, strict=True):
        assert own.sum() == each and own.max() - own.min() <= 1
        assert (np.diff(own) <= 0).all() and length == len(own)


def test_ids_of_a_few_in_front_are_the_first_ranks_and_scored_rows_everybodys():
    """Chunks 0 and 3 of a causal ring of two are rank 0's; in SP its first positions are its first tensor rank's."""
    cut = Cut(1, 8, context=2, tensor=2, sequence_parallel=True)
    assert ids_by_slice(cut, (8,), 3, causal=True) == (2, 0, 1, 0)
    assert ids_by_slice(cut, (8,), 3, 10, causal=True) == (22, 20, 21, 20)
    assert ids_by_slice(cut, (8,), 11, causal=True) == (4, 2, 3, 2)
