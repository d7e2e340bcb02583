"""The page: answers first, loads nothing, same bytes each time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from simulator.report.html import Block, report_html, study_block, write_report

VOID = {"meta", "link", "img", "br", "hr", "input", "path", "rect", "circle"}


class Page(HTMLParser):
    """Tags that balance, ids, headings, visible text and everything a browser would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.texts: list[str] = []
        self.unlabelled: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        for key in ("src", "srcset", "data", "poster", "action", "background"):
            if key in values:
                self.loads.append(values[key])
        if tag == "link":
            self.loads.append(values.get("href", ""))
        if tag == "a":
            self.links.append(values["href"])
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(tag)
        if "plot" in values.get("class", "") and not values.get("aria-label"):
            self.unlabelled.append(values["id"])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        (self.scripts if inside == "script" else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def plotly_js():
    import plotly.offline

    return plotly.offline.get_plotlyjs()


def own(text: str, plotly_js: str) -> str:
    """The page without plotly's own source."""
    assert text.count(plotly_js) == 1, "plotly.js is inlined once"
    return text.replace(plotly_js, "")


def test_the_answer_comes_first(made_result, plotly_js):
    page = Page(own(report_html(made_result), plotly_js))
    step = made_result.timeline.end_ns.max() / 1e6
    assert f"One training step takes {step:.0f} ms: " in page.text
    assert (
        page.text.index("One training step")
        < page.text.index("What was asked")
        < page.text.index("Where the step goes")
    )
    assert "51.2 % of the devices' peak (MFU)" in page.text
    assert "It fits: the fullest rank peaks at 68.0 GiB of 79.0 GiB." in page.text
    assert "pipeline 4 × data 2" in page.text
    assert "16 samples a step: 2 replicas × 8 microbatches × 1 sample" in page.text
    assert "priced from the datasheet" in page.text
    assert "0123456789abcdef" in page.text


def test_the_interval_is_told_only_where_there_were_samples(make, plotly_js):
    result = make(step_time_s_p5=0.101, step_time_s_p95=0.202)
    assert "interval" not in Page(own(report_html(result), plotly_js)).text
    sampled = replace(result, samples_ns=tuple(range(64)))
    assert "(90 % interval 101 ms to 202 ms, 64 samples)" in Page(own(report_html(sampled), plotly_js)).text


def test_nothing_is_loaded_from_anywhere(made_result, make, plotly_js):
    for results in (made_result, [made_result, make("other", stages=2)]):
        text = own(report_html(results), plotly_js)
        page = Page(text)
        assert page.loads == []
        assert all(link.startswith("#") for link in page.links)
        assert "http://" not in text and "https://" not in text
        assert "@import" not in text and "url(//" not in text
        assert re.findall(r"url\((?!#)", text) == []
        assert "default-src 'none'" in text


@pytest.mark.parametrize("count", [1, 2])
def test_headings_descend_and_ids_are_unique_and_figures_are_named(make, plotly_js, count):
    page = Page(own(report_html([make("one"), make("other", stages=2)][:count]), plotly_js))
    assert page.headings[0] == "h1" and page.headings.count("h1") == 1
    levels = [int(heading[1]) for heading in page.headings]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(page.ids) == len(set(page.ids))
    assert page.unlabelled == []


def test_same_results_same_bytes(made_result, tmp_path):
    for name in ("a.html", "b.html"):
        write_report(made_result, tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_no_path_of_this_machine(made_result, plotly_js):
    command = ["/home/me/.venv/bin/rehearse", "simulate", "/home/me/a.yaml", "--report=/home/me/r.html", "plan.data=2"]
    page = Page(own(report_html(made_result, command=command), plotly_js))
    assert "rehearse simulate a.yaml --report=r.html plan.data=2" in page.text
    assert "/home/" not in page.text


def test_names_are_text_not_markup(make, plotly_js):
    text = own(report_html(make("<b>&</script><script>alert(1)")), plotly_js)
    page = Page(text)
    assert "<b>&</script><script>alert(1)" in page.text
    assert len(page.scripts) == 1  # ours; plotly's own was cut out and left an empty element


def test_several_results_are_ranked_and_what_does_not_fit_comes_last(make, plotly_js):
    slow, fast = make("slow", stages=8, data=1), make("fast", stages=2, data=4)  # eight devices each
    reason = "rank 0 needs 91.2 GiB, 12.2 GiB over the limit; pipeline 4 fits"
    big = make("big", stages=1, data=8, feasible=False, reason=reason)
    page = Page(own(report_html([slow, big, fast]), plotly_js))
    assert page.text.index("1 fast") < page.text.index("2 slow") < page.text.index("3 big")
    assert "fast is the fastest: " in page.text
    assert "1 of 3 do not fit into memory" in page.text
    assert f"does not fit: {reason}" in page.text


def test_only_results_of_one_model_and_size_compete(make, plotly_js):
    slow, fast, large = make("slow", stages=8, data=1), make("fast", stages=2, data=4), make("large", stages=2, data=8)
    other = make("other", stages=2, data=4)
    trunk = other.scenario.model.trunk.model_copy(update={"layers": 4})
    other.scenario.model = other.scenario.model.model_copy(update={"trunk": trunk})
    page = Page(own(report_html([slow, large, other, fast]), plotly_js))
    order = [page.text.index(words) for words in ("1 fast", "2 slow", "1 large", "1 other")]
    assert order == sorted(order)
    assert "(8 hstu layers) on 8 a100_sxm4_80gb: fast is the fastest: " in page.text
    assert "(8 hstu layers) on 16 a100_sxm4_80gb, 1,600 Gb/s a node: large: " in page.text


def test_every_winner_has_a_section_before_any_second(make, plotly_js):
    sizes = [make(f"size {data}", stages=1, microbatches=2, data=data) for data in range(1, 13)]
    again = [make(f"slow {data}", stages=1, microbatches=2, data=data, samples_per_s=1.0) for data in range(1, 4)]
    page = Page(own(report_html([*sizes, *again]), plotly_js))
    assert len(page.links) == 12
    assert "3 more results are in the table" in page.text


def test_a_lead_within_the_intervals_is_called_so(make, plotly_js):
    def sampled(name, step_s):
        rates = {"step_time_s": step_s, "step_time_s_p5": step_s * 0.9, "step_time_s_p95": step_s * 1.1}
        return replace(make(name, samples_per_s=16 / step_s, **rates), samples_ns=(1, 2, 3))

    close = Page(own(report_html([sampled("a", 0.1), sampled("b", 0.11)]), plotly_js))
    assert "a is the fastest" in close.text and "though their 90 % intervals overlap" in close.text
    clear = Page(own(report_html([sampled("a", 0.1), sampled("b", 0.2)]), plotly_js))
    assert "overlap" not in clear.text


def test_nothing_fits(make, plotly_js):
    results = [make(name, feasible=False, reason="too big") for name in ("a", "b")]
    assert "None of 2 fits into memory" in Page(own(report_html(results), plotly_js)).text


def test_unknown_numbers_are_said_to_be_unknown(make, plotly_js):
    text = Page(own(report_html(make(mfu=None, model_flops_per_gpu_per_s=None, tokens_per_s=0.0)), plotly_js)).text
    assert "MFU is unknown, because no peak rate is known for the device" in text


def test_a_study_adds_its_own_block(made_result, plotly_js):
    notes = ["It does not", "It does on slow links."]
    block = Block("Does it hold?", ("On fast links it does not.",), ("fabric", "gain"), (("NVLink", "1.02"),))
    page = Page(own(report_html(made_result, blocks=[block], notes=notes, title="The study"), plotly_js))
    assert "It does not. It does on slow links. " in page.text
    assert "Does it hold? On fast links it does not. fabric gain NVLink 1.02" in page.text
    assert page.text.count("The study") == 2


def figures_of(text: str) -> list:
    found = re.search(r"const figures = (\[.*\]);\n  const config", text, re.DOTALL)
    return json.loads(found[1].replace("<\\/", "</"))


def test_every_figure_has_its_place(made_result, plotly_js):
    text = own(report_html(made_result), plotly_js)
    ids = [name for name, _ in figures_of(text)]
    assert ids == ["r0-breakdown", "r0-memory", "r0-timeline", "r0-utilization"]
    assert set(ids) <= set(Page(text).ids)


def test_a_large_result_stays_small(make):
    result = make(stages=16, microbatches=48, data=4)
    text = report_html([result] * 3)
    assert len(text.encode()) < 8 * 2**20


def test_no_result_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        report_html([])


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_draws_it_without_errors_or_requests(make, tmp_path):
    path = tmp_path / "r.html"
    write_report([make("a"), make("b", stages=2)], path)
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=6000", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,2000", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run([CHROMIUM, *options, path.as_uri()], capture_output=True, text=True, timeout=120, check=False)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []  # a blocked request is a console error too: the page forbids them all
    assert done.stdout.count('class="main-svg"') >= 2 * 5


def test_a_studys_rows_become_a_section_with_every_column_and_empty_cells_where_a_row_lacks_one():
    block = study_block(
        "found", [{"what": "one", "rate": 1234.5}, {"what": "two", "note": "does not fit"}], "said first"
    )
    assert block.header == ("what", "rate", "note") and block.paragraphs == ("said first",)
    assert block.rows == (("one", "1,234", ""), ("two", "", "does not fit"))
