"""Who may import whom, read from the source; and the names a user imports, read from the running program."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("simulator", "calibration", "topologies", "studies")
STANDARD = sys.stdlib_module_names

LAYERS = {
    "simulator.version": 0,
    "simulator.units": 0,
    "simulator.errors": 0,
    "simulator.kinds": 0,
    "simulator.values": 0,
    "simulator.model": 1,
    "simulator.cluster": 1,
    "simulator.network": 1,
    "simulator.policies": 1,
    "simulator.plans": 2,
    "simulator.scenario": 3,
    "simulator.program": 4,
    "simulator.graph": 5,
    "simulator.engine": 6,
    "simulator.timeline": 7,
    "simulator.metrics": 8,
}
"""units, errors <- model, cluster <- plans <- program <- graph <- engine: nobody imports a higher number."""

MAY_NOT_SEE = {
    "simulator.costs": ("simulator.engine", "simulator.program", "simulator.plans", "simulator.scenario"),
    "simulator.engine": ("simulator.model", "simulator.plans", "simulator.costs.profile", "simulator.costs.pricer",
                         "simulator.scenario", "simulator.program", "simulator.cluster"),
    "simulator.metrics": ("simulator.engine", "simulator.program", "simulator.executor", "simulator.model",
                          "simulator.costs", "simulator.plans"),
    "simulator.model": ("simulator.cluster", "simulator.costs"),
    "simulator.cluster": ("simulator.model", "simulator.costs"),
    "simulator.program": ("simulator.costs", "simulator.engine"),
    "topologies": ("simulator.scenario", "simulator.program", "simulator.graph", "simulator.engine", "simulator.model"),
}  # fmt: skip
"""Neighbours that a room does not know besides."""

ONLY_IN = {
    "simpy": ("simulator.engine", "simulator.runs", "simulator.serving"),
    "torch": ("simulator.executor", "calibration"),
    "plotly": ("simulator.report",),
    "jinja2": ("simulator.report",),
}
"""Third parties and the rooms that may import them, at module level or inside a function."""

LAZY_TOO = {"torch": ("simulator.policies",)}
"""Rooms that may import them inside a function besides."""

NEVER_AT_MODULE_LEVEL = ("pandas", "scipy", "numba", "networkx")
NEVER_IN_THE_SIMULATOR = ("scipy",)
OTHERS_OF_THE_PROJECT = ("calibration", "topologies", "studies")
REGISTRY = "simulator.registry"


class Import:
    """One import statement: who, what (as a dotted module name), where, and whether it runs when `who` is imported."""

    def __init__(self, importer: str, imported: str, line: int, *, lazy: bool, for_types: bool):
        self.importer, self.imported, self.line = importer, imported, line
        self.lazy, self.for_types = lazy, for_types

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


MODULES = {module_name(path) for path in source_files()}


def imports_of(text: str, importer: str) -> Iterator[Import]:
    """Every import in a module's source, `import_module("...")` with a literal included."""

    def visit(node: ast.AST, lazy: bool, for_types: bool) -> Iterator[Import]:
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, line, lazy=lazy, for_types=for_types)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer}:{line} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(importer, whole if whole in MODULES else node.module, line, lazy=lazy, for_types=for_types)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield Import(importer, node.args[0].value, line, lazy=lazy, for_types=for_types)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, lazy or inside, for_types or typing)

    yield from visit(ast.parse(text), False, False)


ALL = [
    found for path in source_files() for found in imports_of(path.read_text(encoding="utf-8"), module_name(path))
]  # fmt: skip
AT_RUN_TIME = [found for found in ALL if not found.for_types]


def inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def layer(name: str) -> int | None:
    return next((number for room, number in LAYERS.items() if inside(name, room)), None)


def breaches(imports: list[Import]) -> list[str]:
    """The imports that break the law, as sentences."""
    found = []
    for one in imports:
        own, other = layer(one.importer), layer(one.imported)
        top = one.imported.split(".")[0]
        if own is not None and other is not None and other > own:
            found.append(f"{one}: upwards")
        for room, unseen in MAY_NOT_SEE.items():
            if inside(one.importer, room) and any(inside(one.imported, hidden) for hidden in unseen):
                found.append(f"{one}: {room} does not know it")
        if inside(one.importer, "simulator") and top in OTHERS_OF_THE_PROJECT and one.importer != REGISTRY:
            found.append(f"{one}: only {REGISTRY} may")
        if one.importer == REGISTRY and top in OTHERS_OF_THE_PROJECT and not one.lazy:
            found.append(f"{one}: lazily only")
        rooms = ONLY_IN.get(top, ()) + (LAZY_TOO.get(top, ()) if one.lazy else ())
        if top in ONLY_IN and not any(inside(one.importer, room) for room in rooms):
            found.append(f"{one}: only in {', '.join(rooms)}")
        if top in NEVER_AT_MODULE_LEVEL and not one.lazy:
            found.append(f"{one}: inside a function only")
        if top in NEVER_IN_THE_SIMULATOR and inside(one.importer, "simulator"):
            found.append(f"{one}: never")
    return found


def test_nobody_imports_against_the_law():
    assert breaches(AT_RUN_TIME) == []


def test_type_hints_know_no_more_than_the_registry_and_costs_may():
    """Names for type checkers only cost nothing at run time, but engine and costs stay strangers there too."""
    typed = [one for one in ALL if one.for_types and inside(one.importer, "simulator.engine")]
    assert breaches(typed) == []


@pytest.mark.parametrize("importer, line", [
    ("simulator.units", "from simulator.model.spec import ModelSpec"),
    ("simulator.plans", "import simulator.program.program"),
    ("simulator.graph.expand", "from simulator.engine.simpy_engine import run"),
    ("simulator.costs.kernels", "from simulator.engine import simpy_engine"),
    ("simulator.engine.times", "from simulator.costs.profile import Profile"),
    ("simulator.metrics", "def f():\n    from simulator.engine.times import Times"),
    ("simulator.memory", "import calibration.profiles"),
    ("simulator.cli.show", "from topologies import TOPOLOGIES"),
    ("simulator.registry", "import topologies"),
    ("simulator.registry", "from importlib import import_module\nx = import_module('topologies')"),
    ("simulator.graph.expand", "import simpy"),
    ("simulator.costs.pricer", "def f():\n    import torch"),
    ("simulator.policies.compression", "import torch"),
    ("simulator.timeline", "import pandas as pd"),
    ("simulator.cluster", "import networkx"),
    ("simulator.metrics", "def f():\n    import scipy.optimize"),
    ("simulator.cli.simulate", "def f():\n    import plotly"),
    ("calibration.fits", "import numba"),
])  # fmt: skip
def test_a_breach_of_each_rule_is_seen(importer, line):
    assert breaches(list(imports_of(line, importer))), line


@pytest.mark.parametrize("importer, line", [
    ("simulator.engine.simpy_engine", "import simpy"),
    ("simulator.timeline", "def f():\n    import pandas"),
    ("simulator.policies.compression", "def f():\n    import torch"),
    ("simulator.registry", "def f():\n    from topologies.keywords import nearest"),
    ("simulator.program.program", "from simulator.plans import Layout"),
    ("studies.any", "from simulator import simulate"),
])  # fmt: skip
def test_what_the_law_allows_is_let_through(importer, line):
    assert breaches(list(imports_of(line, importer))) == []


def test_every_third_party_that_is_imported_is_declared():
    """In pyproject.toml, so that a wheel installed elsewhere finds it."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    declared = [*project["dependencies"], *extras]
    names = {line.split(">")[0].split("[")[0].strip().lower() for line in declared}
    names = {{"pyyaml": "yaml"}.get(name, name) for name in names}
    brought = {"pydantic_core", "click"}  # by pydantic and by typer
    foreign = {one.imported.split(".")[0] for one in AT_RUN_TIME} - STANDARD - set(PACKAGES)
    assert foreign - names - brought == set()


def fresh(code: str) -> str:
    """stdout of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_module_takes_the_name_of_a_public_function():
    """Every submodule is imported first; then each public name must still be what the package says it is."""
    without_torch = sorted(
        name for name in MODULES
        if inside(name, "simulator") and not inside(name, "simulator.executor") and not name.endswith("__main__")
    )  # fmt: skip
    code = f"""
import importlib, json, types
for name in {without_torch!r}:
    importlib.import_module(name)
import simulator
found = {{}}
for name in simulator.__all__:
    value = getattr(simulator, name)
    assert not isinstance(value, types.ModuleType), name
    if name != "__version__":
        assert callable(value), name
        found[name] = value.__name__
namespace = {{}}
exec("from simulator import *", namespace)
assert set(simulator.__all__) <= set(namespace)
print(json.dumps(found))
"""
    found = json.loads(fresh(code))
    assert found == {name: name for name in found}
    assert {"load_scenario", "simulate", "execute", "compare", "plan", "pipeline_step"} <= set(found)


def test_every_public_name_can_be_called():
    code = f"""
import importlib
for name in {sorted(name for name in MODULES if inside(name, "simulator") and "executor" not in name)!r}:
    importlib.import_module(name)
import simulator
from simulator.errors import RehearseError
file = {{"schema_version": 1, "name": "x", "cluster": {{"preset": "single_gpu"}},
        "model": {{"trunk": {{"block": "gpt", "layers": 1, "hidden": 64, "heads": 2, "vocab": 100, "seq": 8}}}},
        "plan": {{"microbatch": 1, "global_batch": 1}}}}
assert simulator.simulate(simulator.scenario_from(file)).step_time_s > 0
assert simulator.pipeline_step("1f1b", 2, 4, 1, 1, 1, 0).total == 15
from simulator.program import pipeline_schedule
assert pipeline_schedule("1f1b", 1, 1) == [["0F0", "0B0"]]
try:
    simulator.load_scenario("nowhere.yaml")
except RehearseError as error:
    print(error)
"""
    assert "there is no such file" in fresh(code)


def test_help_imports_nothing_heavy():
    heavy = ["torch", "pandas", "numba", "scipy", "plotly", "networkx", "simpy", "jinja2"]
    code = f"""
import sys
from simulator.cli.main import run
assert run(["--help"]) == 0
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert fresh(code).splitlines()[-1] == "[]"


def test_importing_the_package_imports_next_to_nothing():
    code = "import sys, simulator; print([name for name in ('numpy', 'pydantic', 'simpy') if name in sys.modules])"
    assert fresh(code).strip() == "[]"
