"""FLOPs from the steps, against the closed forms of the papers."""

import pytest
from model_zoo import ALL, BERT_LARGE, GPT_1T, GPT_22B, GPT_175B, HSTU, LLAMA3_8B, LLAMA3_70B, SASREC, SASREC_SOFTMAX

from simulator.model.blocks import Cut, backward, forward, model_flops, recompute, units
from simulator.model.work import Kernel, forward_flops


@pytest.mark.parametrize("model", [GPT_22B, GPT_175B, GPT_1T])
@pytest.mark.parametrize("samples", [1, 7])
def test_gpt_counts_72_B_l_s_h2(model, samples):
    t = model.trunk
    # arXiv 2205.05198, equation 7: 72 B l s h^2 (1 + s / 6h + v / 12 l h), multiplied out
    exact = 72 * t.layers * t.seq * t.hidden**2 + 12 * t.layers * t.seq**2 * t.hidden + 6 * t.seq * t.hidden * t.vocab
    assert model_flops(model, samples) == samples * exact


@pytest.mark.parametrize("attention", ["flash", "unfused"])
def test_full_recompute_counts_96_B_l_s_h2(attention):
    t, cut = GPT_175B.trunk, Cut(2, 2048, attention=attention)
    hardware = sum(
        forward_flops(
            forward(GPT_175B, unit, cut) + recompute(GPT_175B, unit, cut, "full") + backward(GPT_175B, unit, cut)
        )
        for unit in units(GPT_175B)
    )
    # arXiv 2104.04473, equation 3: 96 B l s h^2 (1 + s / 6h + v / 16 l h)
    exact = 96 * t.layers * t.seq * t.hidden**2 + 16 * t.layers * t.seq**2 * t.hidden + 6 * t.seq * t.hidden * t.vocab
    assert hardware == 2 * exact


@pytest.mark.parametrize("model", [LLAMA3_8B, LLAMA3_70B])
def test_llama_counts_6n_plus_12_l_h_q_t(model):
    t = model.trunk
    # arXiv 2204.02311, appendix B: 6 N + 12 L H Q T a token; N = weights of products (no norms, no lookups)
    layer = t.hidden * (2 * t.query_width + 2 * t.kv_width) + 3 * t.hidden * t.ffn
    weights = t.layers * layer + t.vocab * t.hidden
    per_token = 6 * weights + 12 * t.layers * t.heads * t.head_dim * t.seq
    assert model_flops(model, 1) == per_token * t.seq


def test_hstu_reproduces_the_published_63_89_tflop():
    # NVIDIA/recsys-examples PERF_ANALYSIS.md: 32 samples of 4,099 on a GPU, causal attention, backward of attention
    # counted 2.5 times its forward (its recomputation inside the kernel included): 3x the GEMMs, 3.5x the attention.
    cut = Cut(32, 4099)
    layers = [unit for unit in units(HSTU) if unit.kind == "hstu"]
    kernels = [step for unit in layers for step in forward(HSTU, unit, cut) if isinstance(step, Kernel)]
    attention = sum(kernel.flops for kernel in kernels if kernel.op == "hstu_attention_forward")
    products = sum(kernel.flops for kernel in kernels if kernel.op == "gemm")
    # by hand: uvqk 2 x 131168 x 4096 x 1024, projection 2 x 131168 x 1024 x 1024; attention 2 x 32 x 4 x 256 x 4099^2
    assert products == 8 * (2 * 131168 * 4096 * 1024 + 2 * 131168 * 1024 * 1024)
    assert attention == 8 * 2 * 32 * 4 * 256 * 4099**2
    assert (3 * products + 3.5 * attention) / 1e12 == pytest.approx(63.89, rel=1e-3)


def test_sasrec_and_hstu_count_the_causal_half_and_gpt_does_not():
    whole = sum(
        step.flops
        for step in forward(GPT_22B, units(GPT_22B)[1], Cut(1, 2048))
        if isinstance(step, Kernel) and step.op == "attention_forward"
    )
    assert whole == 4 * 2048**2 * 6144
    half = sum(
        step.flops
        for step in forward(SASREC, units(SASREC)[1], Cut(1, 200, attention="unfused"))
        if isinstance(step, Kernel) and step.op == "batched_gemm"
    )
    assert half == 4 * 200**2 * 50 // 2


def test_real_lengths_cost_their_own_squares():
    # one sample of 300 and one of 100: as many tokens as two of 200, but 300^2 + 100^2 > 2 x 200^2
    even, uneven = Cut(2, 300, lengths=(200, 200)), Cut(2, 300, lengths=(300, 100))
    unit = units(HSTU)[1]
    difference = forward_flops(forward(HSTU, unit, uneven)) - forward_flops(forward(HSTU, unit, even))
    assert difference == 2 * 1024 * (300**2 + 100**2 - 2 * 200**2)
    assert model_flops(HSTU, 2, (300, 100)) - model_flops(HSTU, 2, (200, 200)) == 3 * 8 * difference


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("attention", ["flash", "unfused"])
def test_backward_does_twice_the_forward(model, attention):
    cut = Cut(2, 128, attention=attention)
    for unit in units(model):
        assert forward_flops(backward(model, unit, cut)) == 2 * forward_flops(forward(model, unit, cut)), unit


def test_full_softmax_scores_every_item():
    head = units(SASREC_SOFTMAX)[-1]
    assert forward_flops(forward(SASREC_SOFTMAX, head, Cut(4, 200))) == 2 * 4 * 200 * 26744 * 64


def test_binary_scores_a_positive_and_its_negatives():
    head = units(SASREC)[-1]
    assert forward_flops(forward(SASREC, head, Cut(4, 200))) == 2 * 4 * 200 * 2 * 50


def test_lookups_count_no_flops():
    assert forward_flops(forward(BERT_LARGE, units(BERT_LARGE)[0], Cut(4, 512))) == 0
