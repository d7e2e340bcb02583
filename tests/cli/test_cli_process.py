"""The command as a process: how fast it answers, what it imports, and how it ends when others end first."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from interrupts import hears_ctrl_c, until_it_reads_a_pipe
from scenario_texts import GPT3

HEAVY = ("torch", "pandas", "numba", "scipy", "plotly", "networkx", "numpy", "pydantic")


def test_help_answers_in_half_a_second_and_imports_nothing_heavy(process):
    code = (
        "import sys; from simulator.cli.main import run; run(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_root(), timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
    assert any(_cpu_seconds(lambda: process("--help")) < 0.5 for _ in range(3))


def test_help_lists_every_verb_of_the_contract(process):
    out = process("--help").stdout
    for verb in ("init", "simulate", "plan", "calibrate", "execute", "compare", "validate", "sweep", "explain", "serve",
                 "trace", "show", "doctor"):  # fmt: skip
        assert f"\n  {verb} " in out


def test_simulating_gpt3_on_64_gpus_takes_under_a_second_cold_and_needs_no_graph_library(process, tmp_path):
    (tmp_path / "g.yaml").write_text(GPT3)
    assert any(_cpu_seconds(lambda: process("simulate", "g.yaml", "--json")) < 1.0 for _ in range(3))
    code = (
        "import sys; from simulator.cli.main import run; run(['simulate', sys.argv[1], '--json']); "
        "print([name for name in 'torch pandas numba scipy plotly networkx rich'.split() if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "g.yaml")], capture_output=True, text=True, cwd=_root(), timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path):
    command = f"{sys.executable} -m simulator.cli.main show schema | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=_root(), timeout=60)
    assert done.stdout == "{\n" and done.stderr == ""


def test_ctrl_c_ends_without_a_traceback(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "simulator.cli.main", "simulate", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=_root(),
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip
    until_it_reads_a_pipe(child.pid)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130 and out == "" and err.strip() == "rehearse: interrupted"


@pytest.mark.parametrize("what", ["presets", "topologies", "profiles", "schema", "policies"])
def test_show_prints_something_to_choose_from(process, what):
    done = process("show", what)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) >= 2
    if what == "schema":
        assert json.loads(done.stdout)["title"] == "rehearse scenario"
    if what == "policies":
        assert "not supported yet" in done.stdout
    if what == "topologies":
        for word in ("fat_tree", "rail_optimized", "pcie_box", "oversubscription", "nodes_per_pod"):
            assert word in done.stdout


def test_doctor_says_what_the_machine_can_do(process):
    done = process("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["cores"] >= 1 and found["can"]["simulate"] == "yes"
    with_torch = "yes" if found["packages"]["torch"] else "no: install rehearse[torch]"
    assert {found["can"][verb] for verb in ("calibrate", "execute", "compare")} == {with_torch}
    assert "simulate    yes" in process("doctor").stdout


def test_version_and_no_words_at_all(process):
    assert process("--version").stdout.startswith("rehearse 0.")
    assert process().returncode == 0 and "Commands:" in process().stdout


def _cpu_seconds(start_process):
    """Seconds of CPU that a child takes: what a quiet machine needs, on a busy one too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert start_process().returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _root():
    return Path(__file__).parents[2]
