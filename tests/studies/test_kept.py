"""A long run that was cut off goes on where it stopped, with the same code only."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from simulator.errors import ScenarioError
from studies.hybrid_vs_single_mode import kept, wide
from studies.hybrid_vs_single_mode.kept import Kept


@pytest.fixture(autouse=True)
def code(monkeypatch):
    monkeypatch.setattr(kept, "fingerprint", lambda: "this code")


def run(path, task, given):
    with ThreadPoolExecutor(1) as pool, Kept(path) as known:
        return known.all(pool, task, given)


def test_only_what_is_not_known_is_asked_for_and_the_order_is_that_of_the_question(tmp_path):
    asked = []

    def square(number):
        asked.append(number)
        return number**2

    path = tmp_path / "kept"
    assert run(path, square, [3, 1]) == [9, 1]
    with path.open("ab") as file:
        file.write(b"\x80\x05\x95")  # cut off while it was writing
    assert run(path, square, [1, 2, 3]) == [1, 4, 9]
    assert run(path, square, [2, 3]) == [4, 9]
    assert asked == [3, 1, 2]


def test_what_other_code_predicted_is_refused(tmp_path, monkeypatch):
    run(tmp_path / "kept", abs, [-1])
    monkeypatch.setattr(kept, "fingerprint", lambda: "other code")
    with pytest.raises(ScenarioError, match="predicted by other code; delete it"):
        run(tmp_path / "kept", abs, [-1])


def test_the_command_says_so_in_a_sentence(tmp_path, monkeypatch, capsys):
    run(tmp_path / "kept", abs, [-1])
    monkeypatch.setattr(kept, "fingerprint", lambda: "other code")
    with pytest.raises(SystemExit, match="2"):
        wide.main(["--quick", "--resume", str(tmp_path / "kept")])
    assert "was predicted by other code; delete it" in capsys.readouterr().err


def test_without_a_file_nothing_is_kept(tmp_path):
    assert run(None, abs, [-1]) == [1] and not list(tmp_path.iterdir())
