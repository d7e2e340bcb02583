"""Parameters: what the executor really holds and uses against the model's counts, whole and sharded."""

from __future__ import annotations

from math import prod

import pytest
import torch
from checked_scenarios import MODELS, scenario
from lone_units import Alone
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from tracked_ranks import clear_caches

from simulator.executor.dense import DenseParameters
from simulator.executor.groups import Group
from simulator.executor.numerics import Numerics
from simulator.executor.weights import parts, shard, unshard
from simulator.model import blocks
from simulator.model.spec import ModelSpec
from simulator.program.lowering import lower
from simulator.program.parameters import local_shapes
from simulator.scenario.loader import scenario_from
from simulator.scenario.presets import PRESETS, preset_model

PUBLISHED = {"llama3_8b": 8_030_261_248, "llama3_70b": 70_553_706_496, "llama3_405b": 405_853_388_800}
"""Hugging Face meta-llama: the sizes that the checkpoints' index files state."""


@pytest.fixture(autouse=True)
def no_cached_masks():
    clear_caches()
    yield
    clear_caches()


class Asked(dict):
    """Weights that remember who asked for them."""

    def __init__(self, weights):
        super().__init__(weights)
        self.names: set[str] = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self.names.add(name) if name in self else None
        return super().get(name, default)


@pytest.mark.parametrize("name", MODELS)
def test_every_counted_parameter_is_used_and_trained_and_no_other(name):
    model = ModelSpec.model_validate(MODELS[name])
    with FakeTensorMode():
        alone = Alone.of(model, "fp32", 2, "unfused")
        alone.weights = asked = Asked(alone.weights)
        x = None
        for unit in blocks.units(model):
            x = alone.run(unit, x)
        written = {}
        for parameter, weight in asked.items():
            weight.main_grad = Written(written, parameter, weight.shape)
        x.backward()
    assert asked.names == set(asked), "counted but never read"
    trained = {parameter for parameter, weight in asked.items() if weight.grad is not None} | set(written)
    assert trained == set(asked)
    assert sum(weight.numel() for weight in asked.values()) == blocks.num_parameters(model)


class Written:
    """Takes a weight's gradient and notes that it came, in the parameter's shape."""

    dtype = torch.float32

    def __init__(self, written, name, shape):
        self.written, self.name, self.shape = written, name, shape

    def addmm_(self, left, right):
        assert (left.shape[0], right.shape[1]) == self.shape
        self.written[self.name] = True


@pytest.mark.parametrize("name", ["gpt", "bert", "sasrec"])
def test_a_layer_has_the_parameters_of_torchs_own(name):
    model = ModelSpec.model_validate(MODELS[name])
    trunk = model.trunk
    layer = nn.TransformerEncoderLayer(trunk.hidden, trunk.heads, trunk.ffn, device="meta")
    own = [p.shape for unit in blocks.units(model) if unit.layer == 0 for p in blocks.parameters(model, unit)]
    assert sorted(own) == sorted(tuple(parameter.shape) for parameter in layer.parameters())


@pytest.mark.parametrize("tensor", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_a_rank_holds_its_shard_and_all_ranks_the_whole(name, tensor):
    built = scenario(name, tensor=tensor)
    (own,) = lower(built).ranks
    with FakeTensorMode():
        for index in range(tensor):
            dense = held_by(built, own, index)
            shapes = local_shapes(built, own.chunks[0].first, own.chunks[0].last)
            assert [tuple(weight.shape) for weight in dense.weights.values()] == list(shapes)
            assert sum(bucket.numel for bucket in dense.buckets.values()) == sum(prod(shape) for shape in shapes)
    for unit in blocks.units(built.model):
        for parameter in blocks.parameters(built.model, unit):
            whole = torch.arange(parameter.count).view(parameter.shape)
            widths = parts(built.model, unit, parameter)
            shards = [shard(whole, parameter, widths, tensor, index) for index in range(tensor)]
            assert all(tuple(one.shape) == parameter.local_shape(tensor) for one in shards)
            assert torch.equal(unshard(shards, parameter, widths), whole)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_without_their_memory(preset):
    """Two layers of a preset as the executor's flat parameters, in fake tensors; all layers are alike. A DLRM has none,
    and is there as a whole."""
    model = preset_model(preset)
    layers = model["trunk"].get("layers", 0)
    if layers:
        model["trunk"] = {**model["trunk"], "layers": 2}
    model["tables"] = [{**table, "rows": 1000} for table in model.get("tables", [])]
    built = scenario_from(
        {"schema_version": 1, "name": preset, "model": model, "dtype": "bf16",
         "cluster": {"preset": "cpu_host", "gpus_per_node": 1},
         "plan": {"microbatch": 1, "global_batch": 1, "data": 1}}
    )  # fmt: skip
    (own,) = lower(built).ranks
    with FakeTensorMode():
        dense = held_by(built, own, 0)
        first, second = (
            sum(weight.numel() for name, weight in dense.weights.items() if name.startswith(f"layer{layer}."))
            for layer in range(2)
        )
        total = sum(weight.numel() for weight in dense.weights.values())
        states = sum(master.numel() * master.element_size() for master in dense.masters.values())
        trained = sum(weight.numel() for weight in dense.weights.values() if weight.requires_grad)
    assert states == 4 * trained, "trained bf16 parameters have an fp32 master"
    assert first == second
    whole = ModelSpec.model_validate(preset_model(preset))
    held = total + max(layers - 2, 0) * first
    assert held == blocks.num_parameters(whole) == PUBLISHED.get(preset, held)


def held_by(built, own, index: int) -> DenseParameters:
    tensor = Group("tensor", tuple(range(built.layout.tensor)), index, None)
    return DenseParameters(
        built, own, Numerics.of(built), Group("data", (0,), 0, None), tensor, torch.device("cpu"), None
    )
