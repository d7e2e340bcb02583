"""What NCCL does where the profile has not seen it: a larger group, the sizes between, another fabric. `-s` prints."""

import numpy as np
import pytest

from calibration.published import crossval, fits
from simulator.costs.profile_entries import INTRA_NODE
from simulator.units import format_bytes

OPS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")


def percents(logs: np.ndarray) -> np.ndarray:
    """100 |predicted / true - 1| from log(true / predicted)."""
    return 100 * np.abs(np.exp(-logs) - 1)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("machine", ["a100_sxm4_80gb", "h100_sxm5_80gb"])
def test_eight_gpus_are_predicted_from_groups_of_two_and_four(profiles, machine, op):
    """All sizes, 512 B to 512 MiB: the median within 10 %. The worst lie at 2 MiB to 4 MiB, where NCCL changed its
    protocol over 2 and 4 A100 (a jump from 20 to 38 us) and not over 8."""
    profile = profiles[machine]
    errors = percents(crossval.group_of_eight(profile, op))
    sizes = profile.collectives[op, INTRA_NODE, 8].size_bytes
    worst = int(errors.argmax())
    print(f"\n{machine} {op} over 8 from 2 and 4: median {np.median(errors):.1f} %, mean {errors.mean():.1f} %, "
          f"worst {errors[worst]:.1f} % at {format_bytes(int(sizes[worst]))}")  # fmt: skip
    assert np.median(errors) <= 10
    stored = profile.fits[f"collective.intra_node.{op}"].figures["eight_from_two_and_four_median_abs_pct"]
    assert stored == pytest.approx(np.median(errors), rel=1e-3)


@pytest.mark.parametrize("machine", ["a100_sxm4_80gb", "h100_sxm5_80gb"])
def test_two_nodes_of_p4de_are_predicted_at_the_sizes_that_nothing_was_fitted_on(profiles, machine):
    """16 A100 over EFA, 1 KiB to 2 GiB: the tier's constants know every second size; the median of the rest in 15 %."""
    fitted = {size for size, _ in fits.fit_rows()}
    held_out = [(size, seconds) for size, seconds in fits.inter_node_log() if size not in fitted]
    logs = crossval.inter_node(profiles[machine])
    errors = percents(logs)
    print(f"\nconstants of {machine} on p4de, all_reduce over 16: median {np.median(errors):.1f} %, "
          f"mean {errors.mean():.1f} %, worst {errors.max():.1f} %")  # fmt: skip
    for (size, seconds), log in zip(held_out, logs, strict=True):
        print(
            f"{format_bytes(size):>8} measured {seconds * 1e6:10.1f} us, predicted {seconds * np.exp(-log) * 1e6:10.1f}"
        )
    assert len(held_out) == 11 and len(fitted) == 11 + len(fits.inter_node_log()) - 22
    assert np.median(errors) <= 15
    stored = profiles[machine].fits["collective.inter_node.all_reduce"].figures["other_sizes_median_abs_pct"]
    assert stored == pytest.approx(np.median(errors), rel=1e-3)
