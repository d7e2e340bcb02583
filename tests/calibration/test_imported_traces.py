"""Traces of torch.profiler: kernels by the operators that launched them, collectives by record_param_comms."""

import gzip
import json

import pytest

from calibration.imports import kineto, torch_ops
from simulator.errors import ScenarioError


def operator(name: str, dims: list, number: int, *, kind: str = "c10::BFloat16", values=(), ts=0.0, dur=9.0) -> dict:
    fields = {
        "External id": number,
        "Input Dims": dims,
        "Input type": [kind] * len(dims),
        "Concrete Inputs": list(values),
    }
    return {"ph": "X", "cat": "cpu_op", "name": name, "ts": ts, "dur": dur, "tid": 1, "args": fields}


def kernel(number: int, dur: float, **fields) -> dict:
    return {"ph": "X", "cat": "kernel", "name": "k", "ts": 0, "dur": dur, "args": {"External id": number, **fields}}


def collective(dur: float, name: str = "allreduce", **changed) -> dict:
    fields = {"Collective name": name, "In msg nelems": 1024, "Out msg nelems": 8192, "Group size": 8,
              "dtype": "BFloat16", "Process Group Ranks": "[0, 1, 2, 3, 4, 5, 6, 7]"}  # fmt: skip
    return kernel(7, dur, **(fields | changed))


def trace(*events: dict, gpus: int = 8) -> str:
    devices = [{"id": number, "name": "NVIDIA A100-SXM4-80GB"} for number in range(gpus)]
    return json.dumps({"deviceProperties": devices, "traceEvents": list(events)})


PRODUCT = operator("aten::mm", [[64, 256], [256, 128]], 1)


def test_a_product_costs_what_its_kernels_took_together():
    found = kineto.read("t.json", trace(PRODUCT, kernel(1, 5.0), kernel(1, 2.5), kernel(99, 50.0)))
    assert found.kernels == {("gemm", "bf16", (64, 128, 256)): [7500.0]}
    assert found.device == "NVIDIA A100-SXM4-80GB"


def test_attention_is_told_by_its_heads_and_its_mask():
    query, key = [2, 512, 16, 64], [2, 512, 4, 64]  # [batch, positions, heads, width]
    values = ["", "", "", "", "", "512", "512", "0.", "True", "False"]
    call = operator("aten::_flash_attention_forward", [query, key, key], 1, values=values)
    found = kineto.read("t.json", trace(call, kernel(1, 5.0)))
    assert list(found.kernels) == [("attention_forward", "bf16", (2, 16, 4, 512, 512, 64, 1))]


def test_what_tells_no_shape_is_counted_and_left_out():
    unmasked = operator("aten::_flash_attention_forward", [[2, 8, 4, 64]] * 3, 2)  # no concrete inputs were recorded
    found = kineto.read(
        "t.json", trace(PRODUCT, kernel(1, 5.0), unmasked, kernel(2, 1.0), operator("my::op", [[4]], 3), kernel(3, 1.0))
    )
    assert len(found.kernels) == 1
    assert found.left_out == ["2 calls tell no shape of a kernel (most: aten::_flash_attention_forward, my::op)"]


def test_on_a_cpu_the_outermost_known_operator_counts():
    events = [operator("aten::addmm", [[8], [64, 256], [256, 8]], 1, kind="float", ts=0, dur=9.0),
              operator("aten::add", [[64, 8], [64, 8]], 2, kind="float", ts=1, dur=2.0),
              operator("aten::add", [[64, 8], [64, 8]], 3, kind="float", ts=20, dur=3.0)]  # fmt: skip
    found = kineto.read("t.json", trace(*events, gpus=0))
    assert found.kernels == {("gemm", "fp32", (64, 8, 256)): [9000.0], ("elementwise", "fp32", (512, 6144)): [3000.0]}


def test_a_collective_costs_its_shortest_calls():
    """The others held a wait for a rank that came later."""
    times = [*range(40, 60), *range(100, 120)]
    found = kineto.read("t.json", trace(PRODUCT, *(collective(float(us)) for us in times)))
    assert found.collectives == {("all_reduce", 8, 2048): [40e3, 41e3, 42e3, 43e3]}


def test_a_gather_is_as_large_as_its_output():
    found = kineto.read("t.json", trace(PRODUCT, collective(5.0, "_allgather_base")))
    assert list(found.collectives) == [("all_gather", 8, 16384)]


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"Process Group Ranks": "[0, 8]", "Group size": 2}, "their groups span nodes"),
        ({"Process Group Ranks": "[0, 1, ...]"}, "does not say which nodes"),
        ({"Collective name": "all_to_allv", "In split size": "[1000, 24]"}, "uneven pieces"),
        ({"Collective name": "coalesced"}, "coalesced is not priced by size"),
        ({"Group size": 1}, "a group of one"),
        ({"dtype": "Complex"}, "sizes were not recorded"),
    ],
)  # fmt: skip
def test_collectives_that_cannot_be_placed_are_left_out_and_said(changed, reason):
    found = kineto.read("t.json", trace(PRODUCT, kernel(1, 1.0), collective(5.0, **changed)))
    assert not found.collectives and reason in found.left_out[-1]


@pytest.mark.parametrize(
    "text, message",
    [
        (trace(PRODUCT, kernel(1, 5.0))[:-30], "line 1: .*cut short"),
        ("[1, 2]", "not a trace of torch.profiler"),
        (trace(kernel(1, 5.0)), "record_shapes=True"),
        (trace(operator("my::op", [[4]], 1), kernel(1, 1.0)), "no kernel of a known operator"),
    ],
)  # fmt: skip
def test_a_trace_that_holds_nothing_is_refused(text, message):
    with pytest.raises(ScenarioError, match=message):
        kineto.read("t.json", text)


def test_a_damaged_archive_is_refused():
    packed = gzip.compress(trace(PRODUCT).encode())
    assert kineto.decoded("t.json.gz", packed) == trace(PRODUCT)
    with pytest.raises(ScenarioError, match="cannot be unpacked"):
        kineto.decoded("t.json.gz", packed[:-9])


def test_arguments_stand_where_torch_has_them():
    torch = pytest.importorskip("torch")
    for name, query, causal in (
        ("_flash_attention_forward", 0, 8), ("_flash_attention_backward", 1, 11),
        ("_scaled_dot_product_flash_attention_for_cpu", 0, 4),
        ("_scaled_dot_product_flash_attention_for_cpu_backward", 1, 7),
    ):  # fmt: skip
        names = [one.name for one in getattr(torch.ops.aten, name).default._schema.arguments]
        assert (names[query], names[query + 1], names[causal]) == ("query", "key", "is_causal")
        assert torch_ops.is_known(f"aten::{name}")


def test_a_real_trace_of_this_machine_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    linear, norm = torch.nn.Linear(32, 48), torch.nn.LayerNorm(48)
    query = torch.randn(2, 4, 16, 8)
    with torch.profiler.profile(record_shapes=True) as profiler:
        for _ in range(3):
            norm(linear(torch.randn(64, 32))).sum().backward()
            torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    profiler.export_chrome_trace(str(tmp_path / "t.json"))
    found = kineto.read("t.json", (tmp_path / "t.json").read_text())
    assert {(op, shape) for op, _, shape in found.kernels} >= {
        ("gemm", (64, 48, 32)), ("gemm", (48, 32, 64)),  # forward, weight gradient
        ("layernorm", (3072, 24576)), ("layernorm", (3072, 61440)),
        ("attention_forward", (2, 4, 4, 16, 16, 8, 1)),
    }  # fmt: skip
    assert all(len(times) == 3 and min(times) > 0 for times in found.kernels.values())
