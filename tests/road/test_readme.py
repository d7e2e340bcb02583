"""The README's blocks run as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from simulator.cli.main import run

README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenario.yaml").write_text(blocks("yaml")[0])
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_blocks_run(number, folder, capsys):
    exec(compile(blocks("python")[number], "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_the_printed_bubble_rate_is_the_one_beside_it(capsys):
    code = next(block for block in blocks("python") if "bubble_rate" in block)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == re.search(r"# (0\.\d+),", code)[1]


def test_the_first_commands_run(folder, capsys):
    for line in blocks("console")[0].splitlines():
        assert run(shlex.split(line)[2:]) == 0, line
        printed = capsys.readouterr()
        assert printed.out or ("init" in line and (folder / "gpt3.yaml").exists())


@pytest.mark.parametrize("number", range(len(blocks("yaml"))))
def test_scenarios_are_predicted(number, tmp_path, capsys):
    (tmp_path / "scenario.yaml").write_text(blocks("yaml")[number])
    assert run(["simulate", str(tmp_path / "scenario.yaml"), "--json"]) == 0
    assert '"feasible": true' in capsys.readouterr().out
