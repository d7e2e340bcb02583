"""Dropout's memory: what the executor leaves out and a run has.

Its own modules, with torch's dropout where the modelled stack has it, hold what is predicted; without it they hold less
by masks and, of an unfused core, dropout's output.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from checked_scenarios import scenario
from tracked_ranks import Tracked, track

from simulator.executor import blocks
from simulator.executor.blocks import attention, transformer
from simulator.model.blocks.attention import DROPOUT_MASK_BYTES

UNFUSED = ("software.attention=unfused",)
SHARE = 0.1
FP32 = 4


def dropped(x: torch.Tensor) -> torch.Tensor:
    """As on a GPU: the mask takes a byte an element."""
    return torch.ops.aten.native_dropout(x, SHARE, True)[0]


@contextmanager
def with_dropout() -> Iterator[None]:
    """Behind the embedding, the softmax of an unfused core, and every branch."""
    softmax, core = torch.softmax, attention._unfused

    def unfused(*given):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "softmax", lambda *scores, **named: dropped(softmax(*scores, **named)))
            return core(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_unfused", unfused)
        for branch in (transformer._attention_branch, transformer._mlp_branch):
            patch.setattr(transformer, branch.__name__, lambda *given, branch=branch: dropped(branch(*given)))
        first = blocks._FORWARD["embedding"]
        patch.setitem(blocks._FORWARD, "embedding", lambda *given: dropped(first(*given)))
        yield


def both(model: str, **keys) -> tuple[Tracked, Tracked]:
    """(with dropout, without)"""
    stated = scenario(model, sets=UNFUSED, **keys)
    with with_dropout():
        found = track(stated)
    return found, track(stated)


@pytest.mark.parametrize("model", ["gpt", "bert", "gpt_lora", "gpt_lora_up", "bert_lora"])
def test_with_dropout_a_step_holds_what_is_predicted(model):
    """Where hardly anything but activations is held (adapters), dropout's tensors are 13 % of it: the prediction is
    that much above a run without them, and within 2 % of one with them."""
    found, without = both(model)
    story = f"{found.row(found.predicted)}; without dropout {without.row(without.predicted)}"
    print(story)
    assert abs(found.off(found.predicted)) < 0.02, story
    assert without.off(without.predicted) > 0.08, story


@pytest.mark.parametrize("model", ["gpt", "bert"])
def test_dropout_holds_its_masks_and_an_unfused_core_its_output_besides(model):
    found, without = both(model, optimizer="sgd")
    trunk, samples = scenario(model).model.trunk, scenario(model).plan.microbatch
    scores = trunk.layers * samples * trunk.heads * trunk.seq**2
    hidden = (2 * trunk.layers + 1) * samples * trunk.seq * trunk.hidden
    assert found.peak - without.peak == scores * (FP32 + DROPOUT_MASK_BYTES) + hidden * DROPOUT_MASK_BYTES
