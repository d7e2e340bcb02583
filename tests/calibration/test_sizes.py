"""What a CPU and a GPU are measured at: every family on both, in sizes that its users train, and that fit."""

import pytest

from calibration import grid, typical
from calibration.points import Point
from calibration.sizes import CPU, CUDA, OF_DEVICE
from simulator.costs import measured
from simulator.units import GIB

DTYPE = {"cpu": "fp32", "cuda": "bf16"}


def points(device: str) -> list[Point]:
    return grid.kernel_points(DTYPE[device], OF_DEVICE[device])


def test_both_devices_are_measured_in_the_same_families():
    families = [{point.op for point in points(device)} for device in OF_DEVICE]
    assert families[0] == families[1] and len(families[0]) > 20


def test_a_gpu_is_measured_at_what_its_users_train():
    products = [point.shape for point in points("cuda") if point.op == "gemm"]
    assert {4096, 131_072} <= {m for m, _, _ in products} and max(n for _, n, _ in products) >= 12_288
    attention = {(shape[3], shape[5]) for shape in (p.shape for p in points("cuda") if p.op == "attention_forward")}
    assert {(4096, 64), (4096, 128), (4096, 256), (64, 128)} <= attention
    assert max(point.shape[1] for point in points("cuda") if point.op == "elementwise") >= 2**30
    assert len(points("cuda")) < 900


@pytest.mark.parametrize("device, most", [("cpu", GIB // 2), ("cuda", 24 * GIB)])
def test_no_point_needs_more_memory_than_a_device_has(device, most):
    for point in points(device):
        _, moved = measured.work(point.op, point.dtype, point.shape)
        if point.op.startswith("hstu"):  # plain torch keeps its scores, some four times over
            batch, heads, _, seq, *_ = point.shape
            moved += 8 * 4 * batch * heads * seq**2
        assert moved <= most, point


def test_a_gpus_layers_are_larger_than_a_cpus():
    cpu, cuda = (typical.scenarios("fp32", 2, typical.SIZES[device]) for device in ("cpu", "cuda"))
    assert len(cpu) == len(cuda)
    assert min(one.model.trunk.hidden for one in cuda) >= max(one.model.trunk.hidden for one in cpu)


def test_the_sentinel_is_as_large_as_the_device():
    assert grid.sentinel("fp32", CPU).shape == (512,) * 3 and grid.sentinel("bf16", CUDA).shape == (4096,) * 3
