"""Lengths as they are drawn, dealt out and laid out."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.model.blocks import Cut
from simulator.model.lengths import Samples, deal, draw, laid_out, over_the_step, zeta, zipf_thresholds
from simulator.scenario.schema import Lengths

ZIPF = Lengths(kind="zipf", alpha=1.2, max=4096)


def drawn(count: int, seq: int = 10**6, spec=ZIPF, observed=(), seed: int = 0, step: int = 0) -> np.ndarray:
    return np.array(draw(spec, observed, seq, seed=seed, step=step, count=count))


def test_zeta_is_riemanns():
    assert zeta(2.0) == pytest.approx(pi**2 / 6, rel=1e-12)
    assert zeta(4.0) == pytest.approx(pi**4 / 90, rel=1e-12)
    assert zeta(1.2) == pytest.approx(5.591582441177750, rel=1e-12)  # Abramowitz and Stegun, table 23.3


def test_a_zipf_is_unbounded_and_what_is_longer_than_max_is_cut_to_it():
    """P(1) = 1 / zeta, and the tail above max is at max: (max ** (1 - alpha)) / (alpha - 1) / zeta, about 17 %."""
    lengths = drawn(200_000)
    for length in (1, 2, 10):
        share = length**-1.2 / zeta(1.2)
        assert (lengths == length).mean() == pytest.approx(share, abs=4 * (share / 200_000) ** 0.5)
    tail = 4095.5**-0.2 / 0.2 / zeta(1.2)
    assert (lengths == 4096).mean() == pytest.approx(tail, abs=4 * (tail / 200_000) ** 0.5)
    assert lengths.min() == 1 and lengths.max() == 4096


def test_thresholds_are_probabilities_in_units_of_two_to_the_minus_53():
    thresholds = zipf_thresholds(2.0, 4)
    shares = np.cumsum([1, 1 / 4, 1 / 9]) / (pi**2 / 6)
    np.testing.assert_allclose(thresholds / 2.0**53, shares, rtol=1e-8)
    assert len(zipf_thresholds(1.5, 1)) == 0  # everything is 1 long


def test_no_sample_is_longer_than_the_models_sequence():
    short = drawn(5000, seq=100)
    assert short.max() == 100
    np.testing.assert_array_equal(np.minimum(drawn(5000), 100), short)  # the same draws, cut


def test_draws_are_a_function_of_seed_and_step_alone():
    np.testing.assert_array_equal(drawn(100), drawn(200)[:100])
    assert (drawn(100) != drawn(100, step=1)).any() and (drawn(100) != drawn(100, seed=1)).any()
    assert drawn(8).tolist() == [52, 1, 4096, 926, 1, 118, 1, 2]  # on every machine


def test_observed_lengths_are_drawn_evenly():
    spec = Lengths(kind="file", path="x")
    found = drawn(30_000, spec=spec, observed=(3, 5, 5000), seq=1000)
    shares = [float((found == length).mean()) for length in (3, 5, 1000)]
    assert sum(shares) == 1 and all(abs(share - 1 / 3) < 0.012 for share in shares)


def test_samples_are_dealt_one_replica_after_the_other():
    dealt = deal([1, 2, 3, 4, 5, 6, 7, 9], data=2, microbatches=2, size=2)
    assert dealt == (
        (Samples((1, 2), 7), Samples((3, 4), 12)),  # means of (1 + 2 + 5 + 6) / 2 and (3 + 4 + 7 + 9) / 2, rounded up
        (Samples((5, 6), 7), Samples((7, 9), 12)),
    )
    assert over_the_step(dealt[0]).mean == 10 and over_the_step(()) is None
    assert Samples.from_text(dealt[0][0].text) == dealt[0][0]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=6), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]),
       st.booleans(), st.booleans())  # fmt: skip
def test_packed_is_never_more_than_padded_and_both_fit_their_ranks(lengths, tensor, context, sequence, causal):
    cut = Cut(len(lengths), 64, tensor=tensor, context=context, sequence_parallel=sequence)
    packed, padded = (laid_out(cut, lengths, layout, causal=causal) for layout in ("packed", "padded"))
    assert sum(lengths) <= packed.tokens * context <= padded.tokens * context + tensor * context
    assert sum(length**2 for length in lengths) <= packed.square_lengths <= padded.square_lengths
    chunks = 2 * context if causal and context > 1 else context
    assert all(length % chunks == 0 for length in packed.lengths) and padded.seq % chunks == 0
    assert padded.seq >= max(lengths) and not padded.lengths
    if sequence:
        assert packed.tokens % tensor == 0 and padded.tokens % tensor == 0


def test_equal_lengths_are_the_fixed_cut():
    cut = Cut(3, 64, tensor=2, context=2)
    for layout in ("packed", "padded"):
        found = laid_out(cut, (64,) * 3, layout, causal=True)
        assert (found.tokens, found.square_lengths, found.attention_seq) == (96, 3 * 64**2, 64)
