"""The adaptive balancer's study: what it must show, and the README's figures."""

from functools import cache
from pathlib import Path

import pytest

from studies.adaptive_balancer import run

README = (Path(run.__file__).parent / "README.md").read_text()


@cache
def outcome(number):
    return run.predicted(run.SETTINGS[number])


@pytest.mark.parametrize("number", [0, 1])
def test_the_balancer_recovers_most_of_what_hindsight_would_and_says_so_beforehand(number):
    one = outcome(number)
    assert one.setting.layers >= 12 and one.even_s > 1.05 * one.hindsight_s
    assert one.recovered(one.after_s) >= 0.7
    (decision,) = one.decisions
    assert decision.step == run.ADAPTIVE["window"]
    assert abs(decision.predicted_gain - one.gain) < 0.1


@pytest.mark.parametrize("number", [0, 1])
def test_the_readmes_rows_are_the_commands(number):
    row = list(outcome(number).row().values())
    shown = next(line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith(f"| {row[0]} | 12 |"))
    assert [one for one in shown if "step" in one] == [one for one in row if "step" in one]
    figures = [[float(one.rstrip("%")) for one in cells if one.strip("+%").replace(".", "").isdigit()]
               for cells in (shown, row)]  # fmt: skip
    assert len(figures[0]) == 9 and figures[0] == pytest.approx(figures[1], rel=0.02, abs=1.0)


def test_the_command_writes_its_report(tmp_path, capsys):
    assert run.main(["--quick", "--report", str(tmp_path / "r.html")]) == 0
    assert "recovered" in capsys.readouterr().out and (tmp_path / "r.html").stat().st_size > 100_000
