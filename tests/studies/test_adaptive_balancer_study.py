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
    row = " | ".join(outcome(number).row().values())
    assert f"| {row} |" in README


def test_the_command_writes_its_report(tmp_path, capsys):
    assert run.main(["--quick", "--report", str(tmp_path / "r.html")]) == 0
    assert "recovered" in capsys.readouterr().out and (tmp_path / "r.html").stat().st_size > 100_000
