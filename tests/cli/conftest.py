import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "scenario"))


@pytest.fixture
def rehearse(capsys):
    """rehearse(*words): (exit code, stdout, stderr) of a command line run in this process."""
    from simulator.cli.main import run

    def command(*words):
        capsys.readouterr()
        code = run([str(word) for word in words])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    return command


@pytest.fixture
def write(tmp_path):
    """write(text, name): the path of a file with this text."""

    def file(text, name="s.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return file


@pytest.fixture
def process(tmp_path):
    """process(*words, **options): a finished `rehearse` of its own process."""

    def start(*words, **options):
        command = [sys.executable, "-m", "simulator.cli.main", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, timeout=120, text=True, **{"capture_output": True, **options}
        )

    return start
