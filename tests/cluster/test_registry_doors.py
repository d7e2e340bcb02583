"""The one door to the packages beside the simulator: lazy, and the same from an installed wheel."""

import fnmatch
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from simulator import registry
from simulator.errors import ProfileError

ROOT = Path(registry.__file__).parents[1]


def test_importing_the_registry_imports_nothing_behind_the_door():
    code = (
        "import sys, simulator.registry\n"
        "heavy = {'topologies', 'calibration', 'studies', 'networkx', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_names_are_found_from_any_folder(tmp_path):
    code = (
        "from simulator import registry\n"
        "assert registry.topology('dgx_a100', nodes=2).gpus == 16\n"
        "assert registry.published('cases/korthikanti_table5.csv').is_file()\n"
        "assert 'networkx' not in __import__('sys').modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})


def test_every_published_case_is_package_data_of_the_wheel():
    """setuptools ships only what pyproject.toml lists: a data file of another ending would be missing outside."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["calibration"]
    shipped = [path for path in (ROOT / "calibration").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    data = [path for path in shipped if path.suffix != ".py"]
    assert data
    for path in data:
        assert any(fnmatch.fnmatch(path.name, pattern.replace("**/", "")) for pattern in patterns), path


def test_unknown_profiles_name_the_way_out(tmp_path):
    with pytest.raises(ProfileError, match="not a profile"):
        registry.profile_path("a100_sxm4_90gb")
    with pytest.raises(ProfileError, match="no file"):
        registry.profile_path(str(tmp_path / "none.json"))
    mine = tmp_path / "mine.json"
    mine.write_text("{}")
    assert registry.profile_path(str(mine)) == mine


def test_shipped_profiles_are_files_of_that_name():
    for name in registry.profile_names():
        assert registry.profile_path(name).stem == name


def test_a_scenarios_profile_is_its_own_or_its_devices():
    """A100 40GB borrows the profile of its 80GB sibling; a B200 has none and is priced from its datasheet."""

    def scenario(device, profile=None):
        return SimpleNamespace(profile_of=lambda name: profile, cluster=registry.topology("single_gpu", device=device))

    own = registry.load_profile_for(scenario("a100_sxm4_40gb"))
    assert own.name == "a100_sxm4_80gb"
    assert registry.load_profile_for(scenario("a100_sxm4_80gb")) is own, "read once"
    assert registry.load_profile_for(scenario("a100_sxm4_80gb", "h100_sxm5_80gb")).name == "h100_sxm5_80gb"
    assert registry.load_profile_for(scenario("b200_sxm_180gb")) is None
    with pytest.raises(ProfileError, match="did you mean"):
        registry.load_profile_for(scenario("a100_sxm4_80gb", "h100_sxm5_80g"))
