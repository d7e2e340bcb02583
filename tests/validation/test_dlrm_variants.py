"""Rows of the script before it was replayed as graphs: other batches, memories and precisions than the ones judged."""

import pytest

from simulator.validation import load_cases
from simulator.validation.compare_rows import predict_case, simulate_case
from simulator.validation.sources.recsys_dlrm import EARLIER

VARIANTS = [case for case in load_cases("recsys_dlrm") if case.stand_in == EARLIER]


@pytest.mark.parametrize("case", VARIANTS, ids=[case.name for case in VARIANTS])
def test_a_variant_is_predicted_within_fifteen_percent(case):
    row = predict_case(case, simulate_case)
    assert abs(row.error_percent) < 15 and row.feasible, f"{row.error_percent:+.2f} %"


def test_batches_of_several_gpus_are_their_sum_and_of_one_its_own():
    plans = {case.name.partition(", ")[2]: case.scenario["plan"] for case in VARIANTS}
    assert len(plans) == len(VARIANTS) == 8
    assert plans["large, 8 A100 yes"]["global_batch"] == 65536 == 8 * plans["large, 8 A100 yes"]["microbatch"]
    assert plans["small, 1 A100-40GB TF32"]["global_batch"] == 32768
