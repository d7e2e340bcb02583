"""Steps as the training code launches them: collectives, overlap handles, kernels of memory."""

import pytest
from model_zoo import ALL, GPT_22B, HSTU, LLAMA3_8B

from simulator import kinds
from simulator.errors import NotSupportedYet
from simulator.model.blocks import MODES, Cut, backward, forward, recompute, units
from simulator.model.work import Collective, Kernel, Wait, forward_flops

LAYER = slice(1, 3)


def collectives(steps):
    return [(step.op, step.size_bytes, step.handle) for step in steps if isinstance(step, Collective)]


def kernels(steps, op):
    return [step for step in steps if isinstance(step, Kernel) and step.op == op]


def layer_steps(function, cut, model=GPT_22B):
    return tuple(step for unit in units(model)[LAYER] for step in function(model, unit, cut))


def test_tensor_parallelism_all_reduces_twice_each_way():
    # arXiv 1909.08053: two all-reduces of b s h in a layer's forward, two in its backward
    cut, size = Cut(4, 2048, tensor=8), 4 * 2048 * 6144 * 2
    assert collectives(layer_steps(forward, cut)) == [("all_reduce", size, None)] * 2
    assert collectives(layer_steps(backward, cut)) == [("all_reduce", size, "grad")] * 2


def test_sequence_parallelism_gathers_and_scatters():
    # arXiv 2205.05198: an all-gather before and a reduce-scatter after each of the two; in backward the all-gather of
    # the output's gradient is exposed, that of the input and the reduce-scatter run beside a GEMM
    cut, size = Cut(4, 2048, tensor=8, sequence_parallel=True), 4 * 2048 * 6144 * 2
    assert collectives(layer_steps(forward, cut)) == [("all_gather", size, None), ("reduce_scatter", size, None)] * 2
    assert collectives(layer_steps(backward, cut)) == [
        ("all_gather", size, None), ("all_gather", size, "input"), ("reduce_scatter", size, "grad")
    ] * 2  # fmt: skip


@pytest.mark.parametrize("model", ALL)
def test_a_rank_alone_communicates_nothing(model):
    for unit in units(model):
        for function in (forward, backward):
            steps = function(model, unit, Cut(1, 64, sequence_parallel=True))
            assert not [step for step in steps if isinstance(step, Collective | Wait)]


@pytest.mark.parametrize("model", ALL)
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("context", [1, 4])
def test_every_handle_is_waited_for_once(model, sharded, context):
    cut = Cut(2, 64, tensor=2, sequence_parallel=sharded, context=context)
    for unit in units(model):
        for function in (forward, backward):
            open_handles = []
            for step in function(model, unit, cut):
                if isinstance(step, Collective) and step.handle:
                    assert step.handle not in open_handles
                    open_handles.append(step.handle)
                elif isinstance(step, Wait):
                    open_handles.remove(step.handle)
            assert not open_handles


def test_the_gradient_collective_overlaps_the_weight_gradient():
    steps = backward(GPT_22B, units(GPT_22B)[2], Cut(4, 2048, tensor=8))
    launched = next(i for i, step in enumerate(steps) if isinstance(step, Collective))
    between = steps[launched + 1 : steps.index(Wait("grad"))]
    # weight gradient of fc1: [ffn / t, tokens] [tokens, h]
    assert [step.shape for step in between] == [(24576 // 8, 6144, 8192)]


def test_gemm_shapes_of_a_grouped_query_layer():
    attention, mlp = units(LLAMA3_8B)[LAYER]
    cut = Cut(1, 4096, tensor=4)
    # 32 query and 8 key/value heads of 128: qkv is (4096 + 2 x 1024) / 4 wide; gate and up together 2 x 14336 / 4
    assert [step.shape for step in kernels(forward(LLAMA3_8B, attention, cut), "gemm")] == [
        (4096, 1536, 4096),
        (4096, 4096, 1024),
    ]
    assert [step.shape for step in kernels(forward(LLAMA3_8B, mlp, cut), "gemm")] == [
        (4096, 7168, 4096),
        (4096, 4096, 3584),
    ]
    (core,) = kernels(forward(LLAMA3_8B, attention, cut), "attention_forward")
    assert core.shape == (1, 8, 2, 4096, 4096, 128, 1)


def test_every_product_has_its_two_gradients():
    cut = Cut(2, 2048, tensor=8)
    for unit in units(GPT_22B)[LAYER]:
        ahead = [step.shape for step in kernels(forward(GPT_22B, unit, cut), "gemm")]
        behind = sorted(step.shape for step in kernels(backward(GPT_22B, unit, cut), "gemm"))
        # C[m,n] = A[m,k] B[k,n]: dA is (m, k, n); dW is kept as [out, in] = (n, k, m)
        assert behind == sorted([(m, k, n) for m, n, k in ahead] + [(n, k, m) for m, n, k in ahead])


def test_unfused_attention_moves_the_square_matrices():
    cut = Cut(1, 2048, tensor=8, attention="unfused")
    steps = forward(GPT_22B, units(GPT_22B)[1], cut)
    square = 64 // 8 * 2048**2
    (softmax,) = kernels(steps, "softmax")
    assert softmax.bytes_moved == 3 * square  # reads the lower half, writes all, 2 bytes each
    dropout = next(step for step in kernels(steps, "elementwise") if step.shape == (square,))
    assert dropout.bytes_moved == 5 * square  # reads, writes, and a byte of mask
    assert [step.shape for step in kernels(steps, "batched_gemm")] == [(8, 2048, 2048, 96), (8, 2048, 96, 2048)]


def test_norms_and_residuals_shrink_under_sequence_parallelism_only():
    plain, sharded = (layer_steps(forward, Cut(1, 2048, tensor=8, sequence_parallel=flag)) for flag in (False, True))
    for op, number in (("layernorm", 2), ("elementwise", 3)):
        assert len(kernels(plain, op)) == number
    outside = [step.bytes_moved for step in kernels(plain, "layernorm")]
    assert [step.bytes_moved for step in kernels(sharded, "layernorm")] == [size // 8 for size in outside]
    # bias + dropout + residual: reads two, writes one, and the mask: 7 bytes
    assert kernels(plain, "elementwise")[0].bytes_moved == 7 * 2048 * 6144


def test_llama_has_no_dropout_and_turns_its_queries():
    attention = units(LLAMA3_8B)[1]
    rotary, residual = kernels(forward(LLAMA3_8B, attention, Cut(1, 100)), "elementwise")
    assert rotary.bytes_moved == 4 * 100 * (4096 + 1024)
    assert residual.bytes_moved == 6 * 100 * 4096


def test_recompute_runs_the_forward_again_and_says_so():
    cut = Cut(1, 2048, tensor=8, attention="unfused")
    attention = units(GPT_22B)[1]
    again = recompute(GPT_22B, attention, cut, "full")
    assert [getattr(step, "op", None) for step in again] == [step.op for step in forward(GPT_22B, attention, cut)]
    assert {step.kind for step in again if isinstance(step, Kernel)} == {kinds.RECOMPUTE}
    assert {step.kind for step in again if isinstance(step, Collective)} == {kinds.TENSOR}
    core = recompute(GPT_22B, attention, cut, "selective")
    assert [step.op for step in core] == ["batched_gemm", "softmax", "elementwise", "batched_gemm", "copy"]
    assert recompute(GPT_22B, attention, Cut(1, 2048), "selective") == ()
    assert recompute(GPT_22B, units(GPT_22B)[0], cut, "full") == ()
    assert all(recompute(HSTU, unit, cut, "none") == () for unit in units(HSTU))
    assert MODES == ("none", "selective", "selective_op", "full")


def test_cheap_ops_run_again_without_a_product():
    """selective_op: norm, rotary positions and activation, of which none multiplies; unfused, the core besides."""
    for model in ALL:
        for unit in units(model):
            assert forward_flops(recompute(model, unit, Cut(2, 64, tensor=2), "selective_op")) == 0
    ops = {unit.kind: [step.op for step in recompute(LLAMA3_8B, unit, Cut(1, 64), "selective_op")]
           for unit in units(LLAMA3_8B)[LAYER]}  # fmt: skip
    assert ops == {"attention": ["layernorm", "elementwise"], "mlp": ["layernorm", "elementwise"]}
    attention, cut = units(GPT_22B)[1], Cut(1, 2048, attention="unfused")
    assert recompute(GPT_22B, attention, cut, "selective_op")[1:] == recompute(GPT_22B, attention, cut, "selective")


def test_separate_gradient_accumulation_reads_and_writes_each_weight():
    unit, weight = units(GPT_22B)[2], 24576 * 6144
    fused, separate = (
        backward(GPT_22B, unit, Cut(1, 2048, fused_accumulation=flag, gradient_bytes=2)) for flag in (True, False)
    )
    added = [step for step in kernels(separate, "elementwise") if step.shape == (weight,)]
    assert [step.bytes_moved for step in added] == [6 * weight] * 2  # fc1 and fc2: reads two, writes one
    assert len(separate) - len(fused) == 2


def test_tensor_parallel_hstu_exchanges_the_norms_statistics():
    cut = Cut(2, 100, tensor=4)
    found = collectives(forward(HSTU, units(HSTU)[1], cut))
    assert found == [("all_reduce", 8 * 200, None), ("all_reduce", 200 * 1024 * 2, None)]


def test_unknown_modes_are_refused():
    with pytest.raises(NotSupportedYet, match="recompute most is not supported"):
        recompute(GPT_22B, units(GPT_22B)[1], Cut(1, 128), "most")
