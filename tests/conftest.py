"""What all tests share: the hypothesis profiles, the two markers that are off by default, and golden texts.

`REHEARSE_FULL=1` (make test-all) runs tests marked `full` and raises hypothesis' counts; `-m benchmark_suite` (make
bench) runs the timings; `--regen-golden` writes golden texts anew instead of comparing with them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

GOLDEN = Path(__file__).parent / "golden"
FULL = os.environ.get("REHEARSE_FULL") == "1"

_COMMON = {"derandomize": True, "deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": False}
settings.register_profile("quick", max_examples=60, **_COMMON)
settings.register_profile("full", max_examples=600, **_COMMON)
settings.load_profile("full" if FULL else "quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regen-golden", action="store_true", help="write the golden texts anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips `full` and `benchmark_suite` tests unless they were asked for."""
    asked = config.getoption("-m") or ""
    for item in items:
        if item.get_closest_marker("full") and not FULL and "full" not in asked:
            item.add_marker(pytest.mark.skip(reason="full counts: make test-all"))
        if item.get_closest_marker("benchmark_suite") and "benchmark_suite" not in asked:
            item.add_marker(pytest.mark.skip(reason="timings: make bench"))


@pytest.fixture
def golden(request: pytest.FixtureRequest):
    """`golden(name, text)`: the text must equal tests/golden/NAME.txt, byte for byte."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if request.config.getoption("--regen-golden"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.exists(), f"{path} is missing: run pytest --regen-golden and read what it wrote"
        assert text == path.read_bytes().decode("utf-8"), f"differs from {path.name}; if meant: pytest --regen-golden"

    return compare
