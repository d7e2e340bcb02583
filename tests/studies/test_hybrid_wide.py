"""The wide study's README is the command's: quick set-ups are predicted again, and its counts are those of its rows."""

from pathlib import Path

import pytest

from studies.hybrid_vs_single_mode import ablation, wide
from studies.hybrid_vs_single_mode.wide_plans import FABRICS, GPUS, MODELS, QUICK, SetUp, set_ups
from studies.hybrid_vs_single_mode.wide_rows import Outcome, Row, by_size, summary, why

README = (Path(wide.__file__).parent / "README.md").read_text(encoding="utf-8")
POINTS = 3
"""A gain in the README may have moved by so much since, in points; a rate by 2 %."""


def tables(*header: str) -> list[dict[str, str]]:
    """The lines of the README's table that has these columns."""
    lines = README.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else [] for line in lines]
    (start,) = (place for place, found in enumerate(cells) if set(header) <= set(found))
    end = next(place for place in range(start, len(cells) + 1) if place == len(cells) or not cells[place])
    return [dict(zip(cells[start], found, strict=True)) for found in cells[start + 2 : end]]


def number(text: str) -> float:
    return float(text.replace(",", "").removesuffix("%"))


def assert_alike(predicted: dict, written: dict[str, str]) -> None:
    """Same plans; rates and gains as near as prices may have moved since."""
    assert set(predicted) == set(written)
    for key, value in predicted.items():
        if isinstance(value, float):
            assert number(written[key]) == pytest.approx(value, rel=0.02), key
        elif str(value).endswith("%"):
            gain = number(value)
            assert number(written[key]) == pytest.approx(gain, abs=POINTS + 0.02 * abs(gain)), key
        elif key.startswith("decided by"):
            assert written[key].rsplit(" ", 3)[0] == value.rsplit(" ", 3)[0]  # the term; its seconds may have moved
        else:
            assert written[key] == value, key


@pytest.mark.parametrize("set_up", QUICK, ids=str)
def test_a_row_of_the_readme_is_what_the_command_predicts(set_up):
    line = wide.compare(set_up).line()
    where = {key: line[key] for key in ("model", "fabric", "GPUs")}
    (written,) = (row for row in tables("best single mode", "both hold") if where.items() <= row.items())
    assert_alike(line, written)


def test_the_policies_gain_what_the_readme_says():
    ground = SetUp("0.1B", "25 Gb/s a node", 256)
    assert ground in list(ablation.grounds())
    line = ablation.taken_apart(ground).line(None)
    where = {key: line[key] for key in ("model", "fabric")}
    (written,) = (row for row in tables("base", "all three") if where.items() <= row.items())
    assert_alike(line, {key: written[key] for key in line})


def test_the_counts_of_the_readme_are_those_of_its_rows():
    rows = tables("best single mode", "both hold")
    gains = [(row["GPUs"], number(row["throughput"]), number(row["busy"]), row) for row in rows if row["throughput"]]
    assert len(rows) == len(list(set_ups()))
    for _, throughput, busy, row in gains:
        if throughput not in (29, 30) and busy not in (19, 20):  # rounded
            assert (row["both hold"] == "yes") == (throughput >= 30 and busy >= 20)
    for line in tables("hybrid ahead", "+30 %"):
        own = [found for found in gains if found[0] == line["GPUs"]]
        assert len(own) == int(line["set-ups"])
        assert sum(row["both hold"] == "yes" for *_, row in own) == int(line["both"])
        assert sum(gain > 30 for _, gain, _, _ in own) <= int(line["+30 %"]) <= sum(gain >= 30 for _, gain, _, _ in own)
    compared = sum(int(line["set-ups"]) for line in tables("the hybrid", "by"))
    assert compared == len(gains) and f"{len(rows)} set-ups, {compared} where" in README


def test_the_set_ups_span_the_sizes_and_the_quick_ones_are_among_them():
    found = list(set_ups())
    assert len(set(found)) == len(found) == len(MODELS) * (1 + len(FABRICS) * len(GPUS)) == 52
    assert {one.model for one in found} == set(MODELS) and {one.gpus for one in found} == {8, 64, 256, 1024}
    assert set(QUICK) | set(ablation.grounds()) <= set(found)


@pytest.mark.parametrize("gpus", [8, 64, 256, 1024])
def test_every_hybrid_fills_the_cluster_and_no_single_mode_mixes(gpus):
    set_up = SetUp("7B", "25 Gb/s a node", gpus)
    for plan in set_up.hybrids():
        assert plan["tensor"] * plan["pipeline"] * plan["data"] == gpus
        assert (plan["tensor"], plan["pipeline"], plan["data"]).count(1) <= 1
    for plan in set_up.single_modes().values():
        assert sum(plan.get(key, 1) > 1 for key in ("tensor", "pipeline", "data")) == 1


def test_seventy_billion_parameters_fit_no_single_mode_on_one_node():
    set_up = SetUp("70B", "NVLink", 8)
    assert not any(set_up.fitting(plan) for plan in set_up.single_modes().values())


def test_all_that_is_behind_the_first_that_fits_fits_too():
    set_up = SetUp("7B", "400 Gb/s a GPU", 64)
    plan = {"data": 64, "zero": 1}
    sizes = [scenario.plan.microbatch for scenario in set_up.fitting(plan)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] == 1 and len(sizes) < 6


def outcome(step_s: float, busy: float = 0.5, **breakdown_s: float) -> Outcome:
    labels = {"compute": 1.0, "data_comm": 0.0, "bubble": 0.0} | breakdown_s
    return Outcome("a plan", step_s, 1024 / step_s, busy, 0.3, tuple(labels.items()))


SLOW = outcome(5.0, data_comm=3.5, bubble=0.5)
FAST = outcome(3.0, 0.7, data_comm=0.5, bubble=1.5)
HERE, THERE = QUICK[0], QUICK[1]


def test_the_deciding_term_is_the_one_that_makes_most_of_the_gap():
    assert Row(HERE, "data only", SLOW, FAST).term == ("data_comm", 3.5, 0.5)
    assert Row(HERE, "data only", FAST, SLOW).term == ("data_comm", 0.5, 3.5)  # behind, and for this reason


def test_counts_by_size_and_by_term_are_of_the_rows_where_both_fit():
    rows = [Row(HERE, "data only", SLOW, FAST), Row(THERE, "data only", FAST, SLOW), Row(THERE, None, None, FAST)]
    assert summary(rows).startswith(
        "3 set-ups, 2 where a single mode and a hybrid fit: the hybrid is ahead in 1, by 30"
    )
    assert [line["both"] for line in by_size(rows)] == ["1", "0"]
    assert [(line["the hybrid"], line["by"], line["throughput"]) for line in why(rows)] == [
        ("gains", "data communication", "+67%"), ("loses", "data communication", "-40%"),
    ]  # fmt: skip
    assert rows[2].line()["best single mode"] == "none fits" and rows[2].line()["throughput"] == ""
