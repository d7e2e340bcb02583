"""The scenario file as values: every key, its default, its range and what it means.

This is the file's shape only. What the model, the plan and the cluster mean is theirs to say (`model/spec.py`,
`plans.py`, `cluster.py`); what cannot work together is refused in `legality.py`, what is not built in `not_yet.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from simulator.model.spec import ModelSpec
from simulator.plans import Plan
from simulator.values import Natural, Positive, PositiveReal, Value, Variant, Whole

Text = Annotated[str, Field(min_length=1)]
Dtype = Literal["bf16", "fp16", "fp32", "tf32", "fp8"]
Optimizer = Literal["adam", "adamw", "sgd", "lamb", "adagrad"]

PRESET_KEYS = ("preset", "huggingface")
"""Keys of `model` that are replaced by what they stand for before anything is checked."""


class ModelSection(ModelSpec):
    """What is trained. Keys beside `preset` or `huggingface` override what they bring."""

    preset: Text | None = Field(None, description="a model of `rehearse show presets`")
    huggingface: Text | None = Field(
        None, description="a Hugging Face config.json, which is the trunk; its path from this file"
    )


class Precision(Value):
    """Dtypes that differ from the compute dtype; null takes the default of the scenario's dtype."""

    parameters: Dtype | None = Field(None, description="stored, and gathered under zero 3; default: dtype")
    gradients: Dtype | None = Field(None, description="accumulated; default: fp32 for bf16, else dtype")
    reduce: Dtype | None = Field(None, description="on the wire; default: fp32 for bf16, else dtype")
    vectors: Dtype | None = Field(
        None, description="looked-up vectors and their gradients, as they leave and travel; null: each table's dtype"
    )


class Software(Value):
    """What runs the kernels."""

    compile: bool = Field(False, description="each layer's memory-bound kernels are torch.compile's")
    stack: (
        Literal[
            "megatron_2021",
            "megatron_2022",
            "llm_foundry",
            "llm_foundry_torch1",
            "megatron_2023",
            "current",
            "torchtitan",
            "torch",
            "deeplearning_examples",
        ]
        | None
    ) = Field(None, description="generation of the training software; null: the profile's")
    attention: Literal["flash", "unfused"] | None = Field(None, description="null: the stack's own")


class InlineDevice(Value):
    """A node of accelerators of one kind, for a cluster without a preset. Ranks follow the order of the list."""

    name: Text = Field(description="what links call it; of several, name0, name1, ... or name for all of them")
    count: Positive = 1
    device: Text | None = Field(None, description="a device that a topology knows; default: the one called `name`")


class InlineLink(Value):
    """A link between two named ends, for a cluster without a preset. An end that is no device is a switch."""

    ends: tuple[Text, Text] = Field(description="a link for each device where one stands for several")
    gbit_per_s: PositiveReal = Field(description="Gb/s in each direction")
    latency_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class NodeGroup(Value):
    """Nodes of one kind. Keys beyond these are keywords of the topology that `preset` names."""

    model_config = ConfigDict(extra="allow")

    preset: Text = Field(description="a topology of `rehearse show topologies`")
    nodes: Positive | None = Field(None, description="number of nodes; default: the topology's own")
    gpus_per_node: Positive | None = Field(None, description="GPUs of a node; default: the topology's own")
    nic_gbit_per_s: PositiveReal | None = Field(None, description="Gb/s of a node, all NICs together")
    nics_per_node: Positive | None = Field(None, description="NICs of a node; one GPU sends through its own")
    device: Text | None = Field(None, description="another device in the same node")


class ClusterSection(NodeGroup):
    """Where it runs: a topology with its keywords, or groups of nodes, or devices and links."""

    preset: Text | None = Field(None, description="a topology of `rehearse show topologies`")
    groups: tuple[NodeGroup, ...] | None = Field(None, description="node groups, filled with ranks in this order")
    devices: tuple[InlineDevice, ...] | None = None
    links: tuple[InlineLink, ...] | None = None


class Lengths(Variant):
    """How long a sample is, in positions; none is longer than the model's `seq`."""

    COMMON: ClassVar[tuple[str, ...]] = ("layout",)
    KEYS: ClassVar[dict[str, dict[str, Any]]] = {
        "fixed": {},
        "zipf": {"alpha": ..., "max": ...},
        "dataset": {"name": ...},
        "file": {"path": ...},
    }

    kind: Literal["fixed", "zipf", "dataset", "file"] = "fixed"
    alpha: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = Field(None, description="P(n) ~ n^-alpha")
    max: Positive | None = Field(None, description="longer samples are cut to this length")
    name: Text | None = Field(None, description="a bundled or fetched data set, such as ml-100k")
    path: Text | None = Field(None, description="a text file, one length a line; its path from this file")
    layout: Literal["packed", "padded"] | None = Field(
        None, description="padded: to the longest of the microbatch; null: packed for hstu, else padded"
    )


class Data(Value):
    """What the samples are like."""

    lengths: Lengths = Lengths()


class Straggler(Value):
    """A rank whose compute is slower for some steps. The simulated step is step 0."""

    rank: Natural
    factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(description="how many times slower")
    from_step: Natural = 0
    to_step: Natural | None = Field(None, description="the first step without it; null: it stays")


class SlowLink(Value):
    """A link that is slower for some steps. The simulated step is step 0."""

    link: Text = Field(description="gpu0>node0/switch for one direction of one link, node0/port0 for all at that end")
    factor: PositiveReal = Field(description="how many times slower; below 1: the share of the capacity that is left")
    from_step: Natural = 0
    to_step: Natural | None = Field(None, description="the first step without it; null: it stays")


class Checkpoint(Value):
    """Checkpoints written while training."""

    every_steps: Positive
    write_bytes_per_s: PositiveReal


class Faults(Value):
    """What goes wrong during a run."""

    stragglers: tuple[Straggler, ...] = ()
    links: tuple[SlowLink, ...] = ()
    mtbf_hours: PositiveReal | None = Field(None, description="mean time between failures of the whole cluster")
    checkpoint: Checkpoint | None = None
    spares: Natural = 0


class Arrivals(Value):
    """When requests come."""

    kind: Literal["poisson", "bursty", "trace"]
    rate_per_s: PositiveReal | None = None


class Serving(Value):
    """Online deployment under a request load."""

    arrivals: Arrivals | None = None
    candidates: Positive | None = None
    slo_ms: PositiveReal | None = None
    batch_window_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    max_batch: Positive | None = None
    replicas: Positive | None = None


def _profiles(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value):
        return value
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    if isinstance(pairs, tuple) and pairs and all(isinstance(text, str) and text for pair in pairs for text in pair):
        return pairs
    raise ValueError(f"{value!r} is not a profile's name or path, or a mapping {{device: profile}}")


Profiles = Annotated[
    str | tuple[tuple[str, str], ...] | None,
    BeforeValidator(_profiles),
    PlainSerializer(lambda value: dict(value) if isinstance(value, tuple) else value),
    WithJsonSchema({
        "anyOf": [{"type": "string", "minLength": 1},
                  {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string", "minLength": 1}},
                  {"type": "null"}],
        "default": None,
        "description": "cost profile by name or path; null: each device's own",
    }),
]  # fmt: skip


class ScenarioFile(Value):
    """A training run to rehearse: a model, a cluster and a plan."""

    schema_version: Annotated[Literal[1], Whole] = Field(description="version of this format")
    name: Text = Field(description="what results are labelled with")
    model: ModelSection
    dtype: Dtype = Field("bf16", description="dtype of the matrix products")
    precision: Precision = Precision()
    optimizer: Optimizer = "adam"
    software: Software = Software()
    cluster: ClusterSection
    profile: Profiles = None
    network: Literal["auto", "isolated", "fair_share"] = Field("auto", description="how links are shared")
    plan: Plan
    data: Data = Data()
    faults: Faults = Faults()
    serving: Serving = Serving()
    prices: Text | None = Field(None, description="a price file")
    steps: Positive = Field(1, description="training steps of the run")
    seed: Natural = Field(0, description="seeds every random draw")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file.

    The keys that a preset or a Hugging Face file may bring are not required here, since JSON Schema does not know them.
    """
    schema = ScenarioFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "rehearse scenario"
    return schema
