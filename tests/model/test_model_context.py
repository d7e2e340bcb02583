"""Context parallelism: the work of one rank, what travels round a ring or is exchanged by heads, and what is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_zoo import ALL, BERT_LARGE, GPT_22B, HSTU, LLAMA3_8B, SASREC

from simulator import kinds
from simulator.errors import ScenarioError
from simulator.model.blocks import Cut, backward, boundary_bytes, forward, kept_bytes, recompute, units
from simulator.model.work import Collective, Kernel, Wait, forward_flops

SEQ = 512
KINDS = ("ring", "all_to_all")
DEGREES = st.sampled_from([2, 4])
KINDS_DRAWN = st.sampled_from(KINDS)


def sliced(context, kind="ring", **keys):
    return Cut(2, SEQ, context=context, context_kind=kind, **keys)


def messages(steps):
    return [(step.op, step.size_bytes) for step in steps if isinstance(step, Collective) and step.group == "context"]


def sent_bytes(steps, context):
    """What one rank puts on the wire: its whole message to a neighbour; of an exchange, all but its own part."""
    return sum(size if op == "sendrecv" else size * (context - 1) // context for op, size in messages(steps))


def kernels(steps, op):
    return [step for step in steps if isinstance(step, Kernel) and step.op.endswith(op)]


@given(st.sampled_from(ALL), DEGREES, KINDS_DRAWN, st.sampled_from([1, 2]))
def test_the_ranks_of_a_group_do_the_work_of_one(model, context, kind, tensor):
    """FLOPs by the block's convention: a slice is 1/context of every product, attention's included."""
    if kind == "all_to_all" and model.trunk.heads % (tensor * context):
        return
    one, slice_ = Cut(2, SEQ, tensor=tensor), sliced(context, kind, tensor=tensor)
    for unit in units(model):
        for function in (forward, backward):
            whole = forward_flops(function(model, unit, one))
            assert context * forward_flops(function(model, unit, slice_)) == whole, unit


@given(st.sampled_from([GPT_22B, LLAMA3_8B, BERT_LARGE, HSTU]), DEGREES)
def test_every_step_of_a_ring_multiplies_as_much(model, context):
    """Causal: 2c chunks a sample, two a rank; the own step is half masked, the others meet half of the keys."""
    trunk, attention = model.trunk, units(model)[1]
    for function, op in ((forward, "attention_forward"), (backward, "attention_backward")):
        found = kernels(function(model, attention, sliced(context)), op)
        assert len(found) == context
        pairs = {shape[3] * shape[4] // (2 if shape[6] else 1) for shape in (step.shape for step in found)}
        assert pairs == {SEQ**2 // context**2 // (2 if trunk.causal else 1)}
        # all the pairs of a sample, causal or not, are met by somebody
        assert pairs.pop() * context**2 == SEQ**2 // (2 if trunk.causal else 1)
        assert [step.shape[6] for step in found].count(1) == int(trunk.causal)


@pytest.mark.parametrize("model", [GPT_22B, LLAMA3_8B, BERT_LARGE, HSTU])
@pytest.mark.parametrize("context", [2, 4])
def test_a_ring_sends_keys_and_values_round_and_their_gradients_back(model, context):
    """Forward c - 1 messages of K and V; backward the same again and c - 1 of their gradients, together where both."""
    trunk, attention = model.trunk, units(model)[1]
    pair = 2 * 2 * (SEQ // context) * trunk.kv_width * 2  # K and V, two samples, bf16
    ahead, behind = (function(model, attention, sliced(context)) for function in (forward, backward))
    assert messages(ahead) == [("sendrecv", pair)] * (context - 1)
    middle = [("sendrecv", 2 * pair)] * (context - 2)
    assert messages(behind) == [("sendrecv", pair), *middle, ("sendrecv", pair)]
    assert sent_bytes(ahead, context) == (context - 1) * pair
    assert sent_bytes(behind, context) == 2 * (context - 1) * pair


@pytest.mark.parametrize("model", [GPT_22B, LLAMA3_8B, BERT_LARGE, HSTU])
@pytest.mark.parametrize("context", [2, 4])
def test_heads_are_exchanged_for_positions_and_back(model, context):
    """DeepSpeed-Ulysses (arXiv 2309.14509, section 3.2): Q, K and V, then the output; N/P of each leaves a rank."""
    trunk, attention = model.trunk, units(model)[1]
    query, key = (2 * (SEQ // context) * width * 2 for width in (trunk.query_width, trunk.kv_width))
    ahead, behind = (function(model, attention, sliced(context, "all_to_all")) for function in (forward, backward))
    assert messages(ahead) == [("all_to_all", size) for size in (query, key, key, query)]
    assert messages(behind) == [("all_to_all", size) for size in (query, query, key, key)]
    assert sent_bytes(ahead, context) == sent_bytes(behind, context) == (2 * query + 2 * key) * (context - 1) // context
    (core,) = kernels(ahead, "attention_forward")
    assert core.shape[1:5] == (trunk.heads // context, trunk.kv_heads // context, SEQ, SEQ)


def test_a_ring_runs_beside_attention_and_an_exchange_beside_nothing():
    attention = units(LLAMA3_8B)[1]
    for function, op in ((forward, "attention_forward"), (backward, "attention_backward")):
        steps = function(LLAMA3_8B, attention, sliced(4))
        for place, step in enumerate(steps):
            if isinstance(step, Collective):
                assert step.kind == kinds.CONTEXT
                until = steps.index(Wait(step.handle), place)
                assert len(kernels(steps[place:until], op)) == 1
    exchange = forward(LLAMA3_8B, attention, sliced(4, "all_to_all"))
    assert messages(exchange) and all(step.handle is None for step in exchange if isinstance(step, Collective))


@given(st.sampled_from(ALL), DEGREES, KINDS_DRAWN, st.booleans())
def test_a_rank_keeps_its_slice(model, context, kind, sharded):
    """1/context of everything, and what the core's messages put into tensors of their own: at most Q, K, V and O."""
    whole, slice_ = (Cut(2, SEQ, context=c, context_kind=kind, sequence_parallel=sharded) for c in (1, context))
    assert boundary_bytes(model, slice_) * context == boundary_bytes(model, whole)
    trunk = model.trunk
    for unit in units(model):
        extra = context * kept_bytes(model, unit, slice_) - kept_bytes(model, unit, whole)
        if unit.kind not in ("attention", "hstu"):
            assert extra == 0
            continue
        query, key = (whole.bytes * whole.tokens * width for width in (trunk.query_width, trunk.kv_width))
        if unit.kind == "hstu":
            assert extra == (2 * key if kind == "ring" else query + 2 * key)
        elif trunk.block == "llama":  # a turned Q and K are kept without the product that they came from
            assert extra == (-query - key if kind == "ring" else -key)
        else:  # joined K and V; a flash kernel's output
            assert extra == (2 * key if kind == "ring" else query)


def test_selective_recomputation_exchanges_nothing_again():
    attention, cut = units(GPT_22B)[1], sliced(2, "all_to_all", attention="unfused")
    again = recompute(GPT_22B, attention, cut, "selective")
    assert again and not messages(again)
    core = [step for step in forward(GPT_22B, attention, cut) if isinstance(step, Kernel) and step.op == "softmax"]
    assert [step.bytes_moved for step in again if step.op == "softmax"] == [step.bytes_moved for step in core]
    assert messages(recompute(GPT_22B, attention, cut, "full")) == messages(forward(GPT_22B, attention, cut))


@pytest.mark.parametrize("kind", KINDS)
def test_cheap_ops_are_run_again_but_nothing_is_sent_or_turned_again(kind):
    """selective_op: Q, and K and V as they travelled or came, are kept; of a layer the norm's output and the MLP's
    activations go. Whole samples keep the QKV product instead, and turn Q and K of it again."""
    attention, mlp = units(LLAMA3_8B)[1:3]
    cut, trunk = sliced(2, kind), LLAMA3_8B.trunk
    again = recompute(LLAMA3_8B, attention, cut, "selective_op")
    assert [step.op for step in again] == ["layernorm"]
    assert [step.op for step in recompute(LLAMA3_8B, attention, Cut(2, SEQ), "selective_op")][1:] == ["elementwise"]
    norm = cut.bytes * cut.tokens * trunk.hidden
    saved = [kept_bytes(LLAMA3_8B, unit, cut) - kept_bytes(LLAMA3_8B, unit, cut, "selective_op")
             for unit in (attention, mlp)]  # fmt: skip
    assert saved == [norm, norm + cut.bytes * cut.tokens * trunk.ffn]
    hstu, cut = units(HSTU)[1], sliced(2, kind)
    inside = cut.bytes * cut.tokens * HSTU.trunk.query_width
    saved = kept_bytes(HSTU, hstu, cut) - kept_bytes(HSTU, hstu, cut, "selective_op")
    assert saved == cut.bytes * cut.tokens * HSTU.trunk.hidden + 5 * inside  # SiLU of four parts; the gated output


def test_an_unfused_core_is_run_again_from_the_heads_that_came():
    attention, cut = units(GPT_22B)[1], sliced(2, "all_to_all", attention="unfused")
    assert recompute(GPT_22B, attention, cut, "selective_op")[1:] == recompute(GPT_22B, attention, cut, "selective")


def test_a_ring_needs_log_sum_exps():
    with pytest.raises(ScenarioError, match=r"software\.attention=flash or --set plan\.context_kind=all_to_all"):
        sliced(2, attention="unfused")
    sliced(2, "all_to_all", attention="unfused")
    sliced(1, attention="unfused")


@given(st.sampled_from([GPT_22B, LLAMA3_8B, BERT_LARGE, HSTU, SASREC]), DEGREES)
def test_longer_rings_never_multiply_less_together(model, context):
    """Halving the slices halves what a rank's linear layers do, whatever the kind."""
    for unit in units(model):
        one, two = (kernels(forward(model, unit, sliced(c)), "gemm") for c in (context, 2 * context))
        assert sum(step.flops for step in one) == 2 * sum(step.flops for step in two)
