import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def load(tmp_path):
    """load(text, *sets): the scenario of a YAML text in a file called s.yaml."""
    from simulator.scenario.loader import load_scenario

    def load_text(text, *sets):
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return load_scenario(path, sets)

    return load_text


@pytest.fixture
def refused(load):
    """refused(text, *sets): the sentence a text is refused with, without the folder of the file."""
    from simulator.errors import ScenarioError

    def sentence(text, *sets, kind=ScenarioError):
        with pytest.raises(ScenarioError) as caught:
            load(text, *sets)
        assert type(caught.value) is kind
        said = str(caught.value)
        assert "\n" not in said and "pydantic" not in said and "http" not in said
        return said.replace(f"{caught.value.file}", caught.value.file.rsplit("/", 1)[-1], 1)

    return sentence
