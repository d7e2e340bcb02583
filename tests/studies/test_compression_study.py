"""Compression's study: BytePS's published rows, the choice bucket by bucket, and the README's figures."""

import re
from functools import cache
from pathlib import Path

import pytest

from studies.when_does_compression_pay import byteps, run
from studies.when_does_compression_pay.setups import CANDIDATES, FAST, MODELS, SetUp, set_ups

README = (Path(run.__file__).parent / "README.md").read_text()


@cache
def published_rows():
    return byteps.rows()


def test_byteps_every_method_beats_none_at_both_bandwidths_and_onebit_is_last():
    gains = {(row["network"], row["method"]): row["predicted"] for row in published_rows()}
    assert len(gains) == 6 and min(gains.values()) > 1.0
    for network in ("25 Gb/s", "0.1 Gb/s"):
        assert gains[network, "onebit"] < min(gains[network, "topk"], gains[network, "randomk"])


def test_byteps_ratios_are_within_a_factor_of_a_half_more():
    for row in published_rows():
        assert 1 / 1.5 < row["predicted over published"] < 1.5, row


def test_byteps_model_is_resnet18_and_its_settings_are_named():
    # MXNet's model zoo lists 11,695,796 for 1,000 classes, with means and variances of 3,968 channels, 12 of the input
    assert sum(byteps.tensors(1000)) + 2 * 3968 + 12 == 11_695_796
    small = sum(4 * count for count in byteps.tensors() if 4 * count < 1_024_000)
    assert small == pytest.approx(3.6e6, rel=0.01)
    words = " ".join(byteps.ASSUMED)
    for setting in ("input pipeline", "hierarchical", "1,024,000 bytes", "gathered from all 32", "0.001", "momentum"):
        assert setting in words


def test_two_hundred_set_ups_of_which_eighty_are_fast():
    found = list(set_ups())
    assert len(found) == len(set(found)) == 200 and sum(one.fast for one in found) == 80
    assert {one.model for one in found[:: run.QUICK_EVERY]} == set(MODELS)


QUICK = [
    SetUp("GPT, 0.1B", 1, *FAST[0]), SetUp("HSTU, 42M", 1, *FAST[2]), SetUp("BERT, 0.3B", 1, *FAST[5]),
    SetUp("SASRec, 3M", 4, "dgx_a100", 2, 100.0), SetUp("GPT, 0.1B", 1, "dgx_a100", 2, 25.0),
    SetUp("GPT, 0.1B", 4, "dgx_a100", 8, 400.0),
]  # fmt: skip


@pytest.mark.parametrize("set_up", QUICK, ids=str)
def test_adaptive_never_loses_and_fast_networks_want_no_narrow_gradients(set_up):
    found = run.outcome(set_up)
    assert found.lost <= run.WIN
    narrow = max(map(found.gain, CANDIDATES[1:]))
    assert narrow < run.WIN if set_up.fast else True
    if set_up == QUICK[4]:
        assert narrow > 1.0


@pytest.mark.parametrize(
    "model, network", [("GPT, 0.1B", ("dgx_a100", 2, 25.0)), ("HSTU, 42M", ("dgx_h100", 2, 3200.0))]
)
def test_the_readmes_rows_are_the_commands(model, network):
    """The gains of one row each, predicted again."""
    set_up = SetUp(model, 1, *network)
    row = next(line for line in README.splitlines() if line.startswith(f"| {model} | {set_up.network} |"))
    (shown,) = run.table([run.outcome(set_up)], model)
    written = [float(text) for text in re.findall(r"([+-]\d+) %", row)]
    predicted = [float(shown[method].rstrip("%")) for method in (*CANDIDATES, "adaptive")]
    assert written == pytest.approx(predicted, abs=1.5, rel=0.02)  # a profile's constants may be fitted anew


def test_the_readme_says_what_byteps_ratios_came_out_as():
    for row in published_rows():
        assert f"| {row['network']} | {row['method']} | {row['predicted']:.2f} | {row['published']:.2f} |" in README
