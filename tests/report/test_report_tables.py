"""Tables on a terminal and in a pipe."""

import io
from dataclasses import replace

from rich.console import Console

from simulator.report.tables import as_text, print_to, simulation_table, study_table


def test_one_result_shows_where_its_step_goes(made_result):
    text = as_text(simulation_table(made_result))
    lines = text.splitlines()
    assert lines[0].split() == ["name", "step", "samples/s", "tokens/s", "MFU", "busy", "GiB", "/", "limit", "fits"]
    assert lines[2].startswith("made ") and lines[2].endswith("68.0 / 79.0 yes")
    assert "bubble" in text and "26.0 %" in text
    assert "costs: interpolated 20.0 %, published 75.0 %, extrapolated 5.0 %" in text
    assert "warning: no profile entry for embedding_update" in text
    assert "compression" not in text  # nothing of it, nothing said


def test_several_results_are_rows_in_the_order_given_with_reasons(make):
    results = [make("b"), make("a", feasible=False, reason="rank 0 needs 3.0 GiB more; data 4 fits")]
    text = as_text(simulation_table(results))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["b", "a"]
    assert lines[3].endswith("no")
    assert "a: does not fit: rank 0 needs 3.0 GiB more; data 4 fits" in text
    assert text.count("warning: no profile entry") == 1
    assert "where the step goes" not in text


def test_nothing_is_wider_than_eighty_columns_or_cut(make):
    result = make("a-rather-long-name-of-a-scenario-on-sixty-four-gpus", stages=8, tokens_per_s=123456.7)
    text = as_text(simulation_table(result))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    letters = "".join(line.split()[0] for line in text.splitlines()[2:6] if line.strip())
    assert letters.startswith("a-rather-long-name-of-a-scenario")


def test_markup_in_a_name_is_text(make):
    assert "[red]x" in as_text(simulation_table(make("[red]x")))


def test_a_pipe_gets_plain_ascii(made_result):
    console = Console(file=io.StringIO(), force_terminal=False)
    print_to(console, simulation_table(made_result))
    text = console.file.getvalue()
    assert text.isascii() and "\x1b" not in text


def test_a_terminal_gets_colour(make):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system="standard")
    print_to(console, simulation_table(make(feasible=False, reason="too big")))
    assert "\x1b[" in console.file.getvalue()


def test_study_rows_become_aligned_columns():
    rows = [
        {"plan": "data 8", "step": "13.7 s", "gain": 1.2345, "fits": True},
        {"plan": "tensor 8", "step": "412 ms", "gain": None, "fits": False},
    ]
    assert as_text(study_table(rows, "Which?")).splitlines() == [
        "Which?",
        "plan        step  gain  fits",
        "----------------------------",
        "data 8    13.7 s  1.23  yes",
        "tensor 8  412 ms   n/a  no",
    ]
    assert as_text(study_table([])).strip() == ""


def test_many_warnings_are_counted_not_all_told(made_result):
    text = as_text(simulation_table(replace(made_result, warnings=tuple(f"number {place}" for place in range(9)))))
    assert text.count("warning: number") == 4
    assert "... and 5 more warnings" in text


def test_a_study_that_is_too_wide_becomes_paragraphs_and_no_word_is_broken():
    row = {"model": "0.1B", "plan": "tensor 8, pipeline 2", "samples/s": 1234, "then": "embedding_comm 7%"}
    wide = row | {f"column number {place}": "1.23 s" for place in range(8)}
    lines = as_text(study_table([wide, wide])).splitlines()
    assert lines[0] == "0.1B, tensor 8, pipeline 2"
    assert lines[1].startswith("  samples/s 1,234   then embedding_comm 7%")
    assert max(map(len, lines)) <= 80
    assert as_text(study_table([wide])).count("1.23 s") == 8
    assert as_text(study_table([row])).splitlines()[0].split() == ["model", "plan", "samples/s", "then"]


def test_study_rows_may_lack_keys():
    text = as_text(study_table([{"plan": "data 8"}, {"plan": "data 4", "step": "1.00 s"}]))
    assert text.splitlines()[2].split() == ["data", "8", "n/a"]
