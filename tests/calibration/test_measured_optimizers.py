"""The update that is timed for an optimizer's bytes is that optimizer's own."""

import pytest

from calibration import grid
from calibration.points import FUSED_PASSES, KERNEL, ROW_PASSES, SUM_PASSES, Point
from simulator.costs.measured import BAGS, ROW_UPDATES
from simulator.model.memory_rules import MASTER_BYTES, UPDATE_BYTES

torch = pytest.importorskip("torch")


def operators(point: Point) -> set[str]:
    """Names of the operators that the second call of a point's kernel runs (the first makes its states)."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from calibration.measure.kernels import make_call

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            found.add(function._schema.name)
            return function(*arguments, **(keywords or {}))

    found: set[str] = set()
    call = make_call(point, "cpu")
    for _ in range(17):  # every set of inputs has made its states
        call()
    with torch.no_grad(), Listen():
        call()
    return {name.removeprefix("aten::") for name in found}


@pytest.mark.parametrize(
    "name, runs, never",
    [("sgd", {"add_"}, {"_fused_adam_", "sqrt"}), ("adagrad", {"addcmul_", "addcdiv_", "sqrt"}, {"_fused_adam_"}),
     ("adam", {"_fused_adam_"}, {"addcmul_"}), ("lamb", {"lerp_", "sqrt", "linalg_vector_norm"}, {"_fused_adam_"})],
)  # fmt: skip
def test_an_update_is_its_optimizers(name, runs, never):
    found = operators(Point(KERNEL, "optimizer", "fp32", (4096, (MASTER_BYTES + UPDATE_BYTES[name]) * 4096)))
    assert runs <= found and not never & found


def test_every_optimizer_and_mask_and_wide_heads_are_among_the_standard_points():
    points = grid.kernel_points("bf16")
    moved = {point.shape[1] / point.shape[0] for point in points if point.op == "optimizer"}
    assert moved >= {MASTER_BYTES + UPDATE_BYTES[name] for name in ("sgd", "adagrad", "adam", "lamb")}
    for way in ("forward", "backward"):
        shapes = [point.shape for point in points if point.op == f"attention_{way}"]
        assert {shape[-1] for shape in shapes} == {0, 1} and {shape[-2] for shape in shapes} >= {32, 64, 128, 256}
    assert any(point.op == "embedding_bag" for point in points)


@pytest.mark.parametrize(
    "name, runs, never",
    [("sgd", {"index_add_"}, {"sqrt", "_unique2", "mean"}),
     ("adagrad", {"index_add_", "sqrt"}, {"_unique2", "mean"}), ("rowwise_adagrad", {"sqrt", "mean"}, {"_unique2"}),
     ("adam", {"index_put_", "sqrt"}, {"_unique2", "mean"})],
)  # fmt: skip
def test_an_update_of_rows_is_its_optimizers(name, runs, never):
    elements = 64 * 64
    found = operators(Point(KERNEL, f"row_update_{name}", "fp32", (elements, round(ROW_PASSES[name] * elements))))
    assert runs <= {one.replace("_unsafe_index_put", "index_put_") for one in found} and not never & found


@pytest.mark.parametrize(("passes", "steps"), [(SUM_PASSES, False), (FUSED_PASSES, True)])
def test_gradients_are_summed_by_row_and_fused_rows_updated_at_once(passes, steps):
    found = operators(Point(KERNEL, "embedding_update", "fp32", (4096, round(passes * 4096))))
    assert {"_unique2", "index_add_"} <= found and ("sqrt" in found) == steps


def test_rows_of_tables_are_looked_up_in_fp32_whatever_activations_are():
    points = grid.kernel_points("bf16")
    assert {one.dtype for one in points if one.op == "embedding_lookup"} == {"bf16", "fp32"}
    of_tables = ("embedding_lookup_zipf", *BAGS, "embedding_update", *ROW_UPDATES)
    assert {one.op for one in points if one.op in of_tables} == set(of_tables)
    assert {one.dtype for one in points if one.op in of_tables} == {"fp32"}


def test_every_optimizer_of_rows_is_among_the_standard_points():
    points = grid.kernel_points("bf16")
    assert set(ROW_UPDATES) == {f"row_update_{name}" for name in ROW_PASSES}
    for name, passes in ROW_PASSES.items():
        moved = [point.shape[1] / point.shape[0] for point in points if point.op == f"row_update_{name}"]
        assert moved == pytest.approx([passes] * len(moved)) and moved


def test_zipf_ids_fall_on_few_rows_where_the_op_says_so():
    from calibration.measure.inputs import Maker

    maker = Maker(Point(KERNEL, "embedding_lookup_zipf", "fp32", (64, 64)), torch.device("cpu"))
    zipf, uniform = (len(ids(2048, 20_000).unique()) for ids in (maker.zipf_ids, maker.ids))
    assert zipf < uniform / 2
    assert "embedding" in operators(Point(KERNEL, "embedding_lookup_zipf", "fp32", (64 * 64, 8 * 64 * 64 + 512)))


def test_the_whole_update_of_every_optimizer_of_weights_is_measured_at_two_sizes():
    from calibration import typical
    from calibration.pieces import jobs_of_scenario

    updates = {job.key: job for made in typical.scenarios("fp32", 2) for job in jobs_of_scenario(made)
               if job.what == "optimizer"}  # fmt: skip
    names = [job.pieces[0].name for job in updates.values()]
    for name in ("adam", "sgd", "adagrad", "lamb"):
        assert names.count(f"{name}.optimizer") >= 2
