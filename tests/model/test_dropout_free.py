"""A GPT without dropout and with a fused loss: what llm-foundry's MPT does not launch and does not keep."""

from dataclasses import replace

import pytest

from simulator.model import blocks
from simulator.model.blocks import Cut
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.work import Kernel

VOCAB = 32000
MODEL = ModelSpec(trunk=Trunk(block="gpt", layers=2, hidden=1024, heads=16, seq=512, vocab=VOCAB))
DROPPING = Cut(2, 512)
TOKENS = 2 * 512


def moved(unit, cut, run=blocks.forward) -> int:
    return sum(step.bytes_moved for step in run(MODEL, unit, cut) if isinstance(step, Kernel))


@pytest.mark.parametrize("kind", ["attention", "mlp"])
def test_without_dropout_a_residual_writes_no_mask_and_backward_reads_none(kind):
    """Forward: one byte a mask element less. Backward: the pass over gradient, mask and branch (5 bytes) goes."""
    unit = next(unit for unit in blocks.units(MODEL) if unit.kind == kind)
    without = replace(DROPPING, dropout=False)
    elements = TOKENS * 1024
    assert moved(unit, DROPPING) - moved(unit, without) == elements
    backward = moved(unit, DROPPING, blocks.backward) - moved(unit, without, blocks.backward)
    assert backward == 5 * elements
    assert blocks.kept_bytes(MODEL, unit, DROPPING) - blocks.kept_bytes(MODEL, unit, without) == elements


def test_without_dropout_the_embedding_is_a_lookup_and_a_sum():
    embedding = blocks.units(MODEL)[0]
    without = replace(DROPPING, dropout=False)
    assert moved(embedding, DROPPING) - moved(embedding, without) == 5 * TOKENS * 1024


def test_a_fused_loss_reads_the_logits_twice_and_leaves_the_gradient_in_their_place():
    """Fused: 2, then 2 in and 2 out; backward scales in place. Eager: casts to fp32 and passes over it again and again.

    Eager forward, bytes for each logit: cast and maximum 2 + 8, subtract, exponential, sum 20, divide 8.
    """
    head = blocks.units(MODEL)[-1]
    fused = replace(DROPPING, fused_loss=True)
    logits = TOKENS * VOCAB
    assert moved(head, DROPPING) - moved(head, fused) == (38 - 6) * logits
    assert moved(head, DROPPING, blocks.backward) - moved(head, fused, blocks.backward) == (14 - 4) * logits
    assert blocks.kept_bytes(MODEL, head, DROPPING) - blocks.kept_bytes(MODEL, head, fused) == 2 * logits
