"""The README's quick figures are the quick command's."""

import re
from pathlib import Path

import pytest

from studies.jagged_lengths import run

README = (Path(run.__file__).parent / "README.md").read_text()


def test_the_quick_command_says_what_the_readme_says_of_it(tmp_path, capsys):
    """Times may move by 5 % with the profile, and the ratios less."""
    assert run.main(["--quick", "--report", str(tmp_path / "report.html")]) == 0
    said = re.search(r"step of ([\d.]+) ms .* takes ([\d.]+) ms, ([\d.]+) times", capsys.readouterr().out)
    stated = re.search(r"`--quick`: ([\d.]+) ms, dealt out by length ([\d.]+) ms: ([\d.]+) times", README)
    found, written = ([float(number) for number in match.groups()] for match in (said, stated))
    assert found == pytest.approx(written, rel=0.05)
    assert 1.3 < found[2] < 1.9
    assert "waits for others" in (tmp_path / "report.html").read_text()


def test_the_readme_says_how_it_was_made():
    assert "python -m studies.jagged_lengths.run" in README
    assert set(re.findall(r"\| (benchmark|[\w ]+(?:GPUs|samples|tails)) \|", README)) == set(run.GROUNDS)
