"""What a calibrated profile makes of its samples: prices, their sources, their spread."""

import math

import numpy as np
import pytest
from journals import NOISE, POINTS, SIZES, collective_seconds, context, journal, kernel, true_seconds

from calibration.build import build
from calibration.journal import COMPUTE, TOGETHER, Journal, Sampled, bin_means
from calibration.pieces import Named, jobs_of_scenario, measured_cut
from calibration.points import OVERLAP, Point
from simulator.costs.pricer import Pricer
from simulator.costs.profile import profile_from_record
from simulator.graph.event_graph import FULL_RATE
from simulator.graph.steps import StepSource
from simulator.kinds import DATA
from simulator.model.work import Kernel
from simulator.program.lowering import lower
from simulator.registry import topology
from simulator.scenario.loader import scenario_from


def pricer(made=None, ranks=2):
    return Pricer(profile_from_record(build(made or journal(), context())), topology("cpu_host", gpus_per_node=ranks))


def as_kernel(point):
    if point.op == "gemm":
        return Kernel("gemm", point.shape, "fp32")
    return Kernel(point.op, point.shape[:1], "fp32", bytes_moved=point.shape[1])


def test_a_measured_shape_costs_its_median_and_says_measured():
    prices = pricer()
    for point in POINTS:
        price = prices.kernel(as_kernel(point))
        assert price.source == "measured"
        assert price.duration_ns == pytest.approx(true_seconds(point.op, point.shape) * 1e9, abs=1)


def test_a_shape_between_is_interpolated_within_a_few_percent_of_the_machine():
    prices = pricer()
    for op, shape in (("gemm", (128, 128, 128)), ("gemm", (512, 64, 200)), ("elementwise", (65536, 2 * 4 * 65536))):
        price = prices.kernel(as_kernel(kernel(op, *shape)))
        assert price.source == "interpolated"
        assert price.duration_ns == pytest.approx(true_seconds(op, shape) * 1e9, rel=0.08)


def test_a_shape_beyond_is_extrapolated_at_the_nearest_efficiency_and_warned_about():
    prices = pricer()
    price = prices.kernel(Kernel("gemm", (8192, 1024, 1024), "fp32"))
    assert price.source == "extrapolated" and price.fit_error > 0
    assert price.duration_ns == pytest.approx(true_seconds("gemm", (8192, 1024, 1024)) * 1e9, rel=0.15)
    assert any("gemm.fp32" in warning for warning in prices.warnings)


def test_one_rank_by_itself_is_priced_as_measured_alone():
    point = POINTS[5]
    together, alone = pricer(ranks=2).kernel(as_kernel(point)), pricer(ranks=1).kernel(as_kernel(point))
    assert alone.duration_ns == pytest.approx(together.duration_ns / 2, abs=1)


def test_a_sum_of_many_draws_is_the_sum_of_means_not_of_medians():
    """exp(sigma^2 / 2) is the mean of the sample over its median."""
    price = pricer().kernel(as_kernel(POINTS[0]))
    assert math.exp(price.repeat_error**2 / 2) == pytest.approx(np.mean(NOISE), rel=1e-3)


def test_collectives_and_sends_cost_what_was_measured():
    prices, cluster = pricer(), topology("cpu_host", gpus_per_node=2)
    span = cluster.span(range(2))
    for size in SIZES:
        reduce, send = prices.collective("all_reduce", size, span), prices.transfer(size, span)
        assert reduce.source == send.source == "measured" and reduce.repeat_error > 0 and send.repeat_error > 0
        assert reduce.duration_ns == pytest.approx(collective_seconds("all_reduce", 2, size) * 1e9, abs=2)
        assert send.duration_ns == pytest.approx(collective_seconds("send", 2, size) * 1e9, abs=2)
    assert prices.collective("all_reduce", 3 * SIZES[4], span).source == "interpolated"


def test_compute_beside_a_collective_runs_as_slow_as_it_was_measured():
    made, size = journal(), SIZES[3]
    own_ns = 2.0 * collective_seconds("all_reduce", 2, size) * 1e9
    made.add(Point(OVERLAP, "all_reduce", "fp32", (2, size)), TOGETHER, [[round(own_ns), 0]] * 5)
    made.add(Point(OVERLAP, "all_reduce", "fp32", (2, size)), COMPUTE, [[1_600_000, 0]] * 5)
    compute, own = pricer(made).rates(DATA)
    assert compute / FULL_RATE == pytest.approx(1 / 1.6, rel=1e-3) and own / FULL_RATE == pytest.approx(0.5, rel=1e-3)
    assert pricer(journal()).rates(DATA) == (FULL_RATE, FULL_RATE)  # not measured: nothing is assumed


def test_what_nobody_measured_says_datasheet():
    prices, span = pricer(), topology("cpu_host", gpus_per_node=2).span(range(2))
    assert prices.kernel(Kernel("softmax", (4096,), "fp32", bytes_moved=8192)).source == "datasheet"
    assert prices.collective("all_to_all", 4096, span).source == "datasheet"


def layer(tokens: int) -> tuple[Kernel, ...]:
    moved = 12 * tokens * 64
    return (Kernel("gemm", (tokens, 64, 64), "fp32"), Kernel("elementwise", (64 * tokens,), "fp32", bytes_moved=moved))


def with_pieces(*tokens: int, factor: float) -> Journal:
    made = journal()
    for each in tokens:
        total = sum(pricer().kernel(kernel).duration_ns for kernel in layer(each))
        made.add_piece(Named("layer.F", layer(each)), TOGETHER, [[round(factor * total), 0]] * 5)
    return made


def test_kernels_of_a_measured_piece_sum_to_the_piece():
    prices = pricer(with_pieces(256, factor=1.4))
    found = prices.piece(layer(256))
    alone = [prices.kernel(kernel).duration_ns for kernel in layer(256)]
    assert {price.source for price in found} == {"measured"} and {price.op_class for price in found} == {
        "piece.layer.F"
    }
    assert sum(price.duration_ns for price in found) == pytest.approx(1.4 * sum(alone), abs=3)
    assert found[0].duration_ns / found[1].duration_ns == pytest.approx(alone[0] / alone[1], rel=1e-3)


def test_the_same_kernels_under_two_names_are_two_pieces():
    """bf16's encoding and decoding are one cast each, of the same elements and bytes; one makes new memory."""
    made, cast = journal(), (Kernel("elementwise", (4096,), "fp32", bytes_moved=6 * 4096),)
    for name, ns in (("bf16.encode", 4_540_000), ("bf16.decode", 2_260_000)):
        made.add_piece(Named(name, cast), TOGETHER, [[ns, 0]] * 5)
    prices = pricer(made)
    asked = [prices.piece(cast, name)[0].duration_ns for name in ("bf16.encode", "bf16.decode", "int8.encode")]
    assert asked == [4_540_000, 2_260_000, 4_540_000]  # under a name that nobody measured: as measured first


def test_pieces_are_asked_for_under_the_names_they_were_measured_under():
    text = {"schema_version": 1, "name": "names", "model": {"preset": "sasrec_ml20m"}, "dtype": "fp32",
            "cluster": {"preset": "cpu_host", "gpus_per_node": 2},
            "plan": {"microbatch": 4, "global_batch": 16, "compression": {"method": "bf16"}}}  # fmt: skip
    scenario, asked = scenario_from(text), set()
    source = StepSource(scenario, measured_cut(scenario))
    for own in lower(scenario).ranks:
        compute = [launch.action for launch in own.launches if launch.stream == "compute"]
        asked |= {(piece.name, piece.kernels) for action in compute for piece in source.steps(own, action)}
    measured = {(piece.name, piece.kernels) for job in jobs_of_scenario(scenario) for piece in job.pieces}
    assert asked == measured and {"bf16.encode", "bf16.decode"} <= {name for name, _ in asked}


def test_a_piece_of_the_same_structure_gets_the_factor_of_its_likes():
    prices = pricer(with_pieces(64, 1024, factor=1.4))
    found = prices.piece(layer(256))
    assert {price.source for price in found} == {"interpolated"}
    alone = sum(prices.kernel(kernel).duration_ns for kernel in layer(256))
    assert sum(price.duration_ns for price in found) == pytest.approx(1.4 * alone, rel=1e-3)


def test_a_piece_follows_its_own_name_where_several_of_it_were_measured():
    """SGD's update of rows has the structure of Adam's and takes less over its kernels."""
    made = journal()
    for name, factor in (("adam.table_optimizer", 8.0), ("sgd.table_optimizer", 2.0)):
        for tokens in (64, 1024):
            total = sum(pricer().kernel(kernel).duration_ns for kernel in layer(tokens))
            made.add_piece(Named(name, layer(tokens)), TOGETHER, [[round(factor * total), 0]] * 5)
    prices, alone = pricer(made), sum(pricer(made).kernel(kernel).duration_ns for kernel in layer(256))
    for name, factor in (("adam.table_optimizer", 8.0), ("sgd.table_optimizer", 2.0)):
        assert sum(price.duration_ns for price in prices.piece(layer(256), name)) == pytest.approx(
            factor * alone, rel=0.02
        )


def test_a_piece_unlike_any_measured_one_is_its_kernels():
    prices = pricer(with_pieces(64, factor=1.4))
    kernels = layer(256)[::-1]
    assert prices.piece(kernels) == tuple(prices.kernel(kernel) for kernel in kernels)


def sampled(*visits: list[int]) -> Sampled:
    made = Sampled()
    for visit in visits:
        made.add([[ns, 0] for ns in visit])
    return made


def test_a_wait_for_a_core_counts_as_a_step_pays_for_it():
    """One run in four loses its core for as long as it takes: a step of many such runs takes a quarter more."""
    levelled, levels = sampled([100, 100, 100, 200], [100, 200, 100, 100]).level()
    assert levels.tolist() == [125, 125] and levelled.mean() == pytest.approx(125)


def test_a_visit_that_met_another_process_counts_at_the_level_of_the_others():
    """Whole steps fall into such a second too, and the median step knows nothing of them."""
    levelled, levels = sampled([99, 101], [210, 190], [100, 102]).level()
    assert levels.tolist() == [100, 200, 101]
    assert levelled.tolist() == pytest.approx(sorted([99 * 1.01, 101 * 1.01, 106.05, 95.95, 100, 102]))


def test_messages_that_scatter_are_judged_on_many():
    """Each visit of two has seen a slow one or none; four together say what a message takes."""
    scattered = sampled([1, 1], [1, 9], [1, 9], [1, 1], [1, 1])
    assert scattered.level(4)[1].tolist() == [3, pytest.approx(14 / 6)]
    assert scattered.level(4)[0].mean() == pytest.approx((3 + 14 / 6) / 2)


def test_quantiles_keep_the_mean_of_the_sample():
    ordered = np.array([1.0, 1.0, 2.0, 3.0, 50.0])
    assert bin_means(ordered).mean() == pytest.approx(ordered.mean())
    assert bin_means(ordered)[10] == pytest.approx(2.0) and (np.diff(bin_means(ordered)) >= -1e-12).all()


def test_the_oldest_visits_go_first():
    made = sampled(*([number] * 64 for number in range(20)))
    assert made.num_samples <= 768 and made.visits[-1] == [19] * 64 and made.seen == 20
    assert len(made.lost) == len(made.visits)


def test_a_journal_goes_through_the_profile_unchanged():
    made = with_pieces(64, factor=1.1)
    record = build(made, context())
    assert Journal.from_record(record["journal"]).to_record() == made.to_record()


def test_held_out_errors_are_near_zero_where_the_machine_is_the_model():
    fits = build(journal(), context())["fits"]
    assert fits["gemm.fp32"]["error"] < 0.1 and fits["elementwise.fp32"]["error"] < 0.1
    assert fits["transfer.intra_node"]["error"] < 0.2  # held-out sizes are 16 times apart, where prices see 4
