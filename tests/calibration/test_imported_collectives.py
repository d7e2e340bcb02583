"""Logs of nccl-tests and tables of one's own: what they hold comes out exactly, what is wrong has its line."""

import json

import pytest

from calibration.imports import csv_file, nccl_tests
from simulator.errors import ScenarioError

TEXT = """\
# Collective test starting: {test}_perf
# nThread 1 nGpus {ranks} minBytes 1024 maxBytes 1048576 step: 2(factor) warmup iters: 1 iters: 20 agg iters: 1
#
# Using devices
{places}
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw  #wrong     time   algbw   busbw  #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)             (us)  (GB/s)  (GB/s)
        1024           256     float     sum      -1    12.50    0.08    0.14       0    11.90    0.09    0.15     N/A
     1048576        262144     float     sum      -1    41.20   25.45   44.54       0    40.10   26.15   45.76     N/A
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 22.6
"""


def places(ranks: int, hosts: int = 1) -> str:
    row = "#  Rank {0:2} Group  0 Pid  {1} on node{2} device  {0} [0000:07:00] NVIDIA H100 80GB HBM3"
    return "\n".join(row.format(rank, 100 + rank, rank * hosts // ranks) for rank in range(ranks))


def text(test: str = "all_reduce", ranks: int = 8, hosts: int = 1) -> str:
    return TEXT.format(test=test, ranks=ranks, places=places(ranks, hosts))


def test_a_log_gives_the_times_of_calls_out_of_place():
    found = nccl_tests.read("run.log", text())
    assert found.collectives == {("all_reduce", 8, 1024): [12500.0], ("all_reduce", 8, 1048576): [41200.0]}
    assert found.device == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize(
    "test, op", [("alltoall", "all_to_all"), ("sendrecv", "sendrecv"), ("all_gather", "all_gather")]
)
def test_collectives_have_our_names(test, op):
    assert {key[0] for key in nccl_tests.read("run.log", text(test)).collectives} == {op}


def test_a_log_of_two_tests_is_two_curves():
    found = nccl_tests.read("run.log", text("all_reduce", 8) + text("broadcast", 4))
    assert {key[:2] for key in found.collectives} == {("all_reduce", 8), ("broadcast", 4)}


def test_a_log_that_names_no_test_is_named_by_its_file():
    unnamed = "\n".join(text().splitlines()[1:])
    assert {key[0] for key in nccl_tests.read("logs/all_gather.log", unnamed).collectives} == {"all_gather"}
    with pytest.raises(ScenarioError, match="name the file after it"):
        nccl_tests.read("logs/run.log", unnamed)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("   12.50    0.08", "   fast    0.08", r"run\.log, line 17: could not convert"),
        ("0.14       0", "0.14       3", r"line 17: 3 values came out wrong"),
        ("   12.50    0.08", "    0.00    0.08", r"line 17: 0 us is not a time"),
        ("   11.90    0.09    0.15     N/A", "", r"line 17: 9 columns where the header has 13"),
        ("all_reduce_perf", "reduce_perf", r"line 1: times reduce, which no plan uses"),
        ("#  Rank", "#  Place", "does not list its ranks"),
        ("#       size", "#       length", "no row of times"),
    ],
)  # fmt: skip
def test_a_log_that_is_wrong_is_refused_with_its_line(old, new, message):
    with pytest.raises(ScenarioError, match=message):
        nccl_tests.read("run.log", text().replace(old, new))


def test_groups_over_nodes_say_on_how_many_they_lay():
    found = nccl_tests.read("run.log", text(hosts=2))
    assert found.between == {("all_reduce", 8, 2, 1024): [12500.0], ("all_reduce", 8, 2, 1048576): [41200.0]}
    assert not found.collectives
    with pytest.raises(ScenarioError, match="8 ranks do not lie evenly on 3 nodes"):
        nccl_tests.read("run.log", text(hosts=3))
    rows = csv_file.read("t.csv", "op,ranks,bytes,nodes,time_us\nall_reduce,8,1024,2,12.5\nsend,2,1024,,9\n")
    assert rows.between == {("all_reduce", 8, 2, 1024): [12500.0]} and rows.collectives == {("send", 2, 1024): [9000.0]}
    with pytest.raises(ScenarioError, match="line 2: 8 ranks do not lie evenly on 3 nodes"):
        csv_file.read("t.csv", "op,ranks,bytes,nodes,time_us\nall_reduce,8,1024,3,12.5\n")


def report(**changed) -> str:
    devices = [{"rank": rank, "group": 0, "hostname": "node0", "device_info": "NVIDIA A100"} for rank in range(4)]
    body = {"time": 20.5, "alg_bw": 1.0, "bus_bw": 1.5, "nwrong": 0.0}
    row = {"size": 4096, "count": 1024, "type": "float", "redop": "sum", "out_of_place": body, "in_place": body}
    record = {"version": 2, "args": ["./build/reduce_scatter_perf", "-g", "4"], "config": {"devices": devices},
              "results": [row, {**row, "size": 8192, "out_of_place": None}]}  # fmt: skip
    return json.dumps(record | changed)


def test_the_json_form_says_the_same():
    found = nccl_tests.read("r.json", report())
    assert found.collectives == {("reduce_scatter", 4, 4096): [20500.0], ("reduce_scatter", 4, 8192): [20500.0]}
    assert found.device == "NVIDIA A100"


@pytest.mark.parametrize(
    "bad, message",
    [
        (report()[:-40], "line 1: .*cut short"),
        (report(results=[]), "no results"),
        (report(config={}), "not the JSON of"),
        (report(results=[{"size": 1}]), "not the JSON of"),
    ],
)  # fmt: skip
def test_a_json_form_that_is_wrong_is_refused(bad, message):
    with pytest.raises(ScenarioError, match=message):
        nccl_tests.read("r.json", bad)


def test_a_table_of_ones_own_gives_kernels_and_collectives():
    found = csv_file.read("t.csv", "\n".join((
        "op,dtype,shape,ranks,bytes,time_us",
        "# what the vendor's benchmark said",
        "gemm,bf16,64x128x256,,,3.5",
        "gemm,bf16,64x128x256,,,3.7",
        "layernorm,fp16,4096,,16384,2",
        "attention_forward,bf16,1x8x8x64x64x64x0,,,9",
        "all_to_all,,,4,65536,30",
    )))  # fmt: skip
    assert found.kernels == {
        ("gemm", "bf16", (64, 128, 256)): [3500.0, 3700.0],
        ("layernorm", "fp16", (4096, 16384)): [2000.0],
        ("attention_forward", "bf16", (1, 8, 8, 64, 64, 64, 0)): [9000.0],
    }
    assert found.collectives == {("all_to_all", 4, 65536): [30000.0]}


@pytest.mark.parametrize(
    "row, message",
    [
        ("gemm,bf16,64x128,,,3", "is not the shape of gemm; it is m x n x k"),
        ("gemm,bf16,64x0x8,,,3", "is not the shape of gemm"),
        ("layernorm,bf16,64,,,3", "bytes is ''"),
        ("gemm,int9,64x128x8,,,3", "'int9' is not a dtype"),
        ("gem,bf16,64x128x8,,,3", "'gem' is not an op"),
        ("gemm,bf16,64x128x8,,,-3", "time_us is '-3'"),
        ("gemm,bf16,64x128x8,,,inf", "time_us is 'inf'"),
        ("all_reduce,,,1,64,3", "two ranks or more"),
        ("gemm,bf16", "2 columns where the header has 6"),
    ],
)  # fmt: skip
def test_a_row_that_is_wrong_is_refused_with_its_line(row, message):
    with pytest.raises(ScenarioError, match=rf"t\.csv, line 3: .*{message}"):
        csv_file.read("t.csv", f"op,dtype,shape,ranks,bytes,time_us\ngemm,bf16,8x8x8,,,1\n{row}\n")


@pytest.mark.parametrize(
    "whole, message", [("", "is empty"), ("op,time\n", "line 1: the first line"), ("op,time_us\n", "no rows")]
)
def test_a_table_without_rows_is_refused(whole, message):
    with pytest.raises(ScenarioError, match=message):
        csv_file.read("t.csv", whole)
