"""Scenario: a training run with nothing left open, frozen and hashable. The start of the road."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property

from simulator.cluster import Cluster
from simulator.errors import ScenarioError
from simulator.layout import Layout
from simulator.model.lengths import Samples, deal, draw
from simulator.model.spec import ModelSpec
from simulator.plans import Plan
from simulator.scenario.schema import Data, Faults, Precision, Profiles, ScenarioFile, Serving, Software
from simulator.scenario.source import Source


@dataclass(frozen=True)
class Scenario:
    """stated: the file with presets expanded and every default written out. cluster: what its `cluster` builds, its
    links as slow as `faults` makes them. straggling: (rank, how many times slower it computes), ascending.
    source: where each key was written, for errors that show only later (`located`). observed_lengths: what the file or
    data set of `data.lengths` holds.

    Two scenarios are equal when they state the same thing. Degrees, precision and microbatches are resolved.
    """

    stated: ScenarioFile
    cluster: Cluster = field(compare=False)
    source: Source | None = field(default=None, compare=False, repr=False)
    straggling: tuple[tuple[int, float], ...] = field(default=(), compare=False)
    observed_lengths: tuple[int, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return self.stated.name

    @cached_property
    def model(self) -> ModelSpec:
        """The model, without the keys that only a file has."""
        return ModelSpec(**{key: getattr(self.stated.model, key) for key in ModelSpec.model_fields})

    @property
    def plan(self) -> Plan:
        """The plan; all degrees are numbers."""
        return self.stated.plan

    @cached_property
    def layout(self) -> Layout:
        """Which rank is where."""
        return self.plan.layout

    @property
    def microbatches(self) -> int:
        """m: microbatches that one data-parallel rank runs in a step, on average."""
        return self.plan.microbatches

    @property
    def dtype(self) -> str:
        return self.stated.dtype

    @property
    def precision(self) -> Precision:
        """Dtypes of stored parameters, accumulated gradients and gradient reduction, none of them None; of vectors,
        None where each table's own stands."""
        return self.stated.precision

    @property
    def optimizer(self) -> str:
        return self.stated.optimizer

    @property
    def software(self) -> Software:
        """stack is None where the profile decides, attention where the stack does."""
        return self.stated.software

    @property
    def data(self) -> Data:
        return self.stated.data

    @property
    def samples_differ(self) -> bool:
        """Whether samples differ in length."""
        return self.data.lengths.kind != "fixed"

    @property
    def num_draws(self) -> int:
        """Steps that may differ from each other, because each has samples of its own or layers may have moved; a
        longer run begins anew."""
        return self.steps if self.samples_differ or self.plan.balancer.kind == "adaptive" else 1

    def lengths(self, step: int = 0) -> tuple[int, ...]:
        """Real positions of every sample of a step, those of the first replica first."""
        return draw(
            self.data.lengths, self.observed_lengths, self.model.trunk.seq or 0, seed=self.seed,
            step=step % self.num_draws, count=self.plan.global_batch,
        )  # fmt: skip

    def samples(self, step: int = 0) -> tuple[tuple[Samples, ...], ...]:
        """[data_rank][microbatch] of a step; empty where all samples are as long as the model's `seq`."""
        if not self.samples_differ:
            return ()
        plan = self.plan
        return deal(self.lengths(step), plan.data, plan.microbatches, plan.microbatch, plan.counts)

    @property
    def profile(self) -> Profiles:
        """The profile's name or path; (device, profile) pairs where devices differ; None: each device's own."""
        return self.stated.profile

    def profile_of(self, device: str) -> str | None:
        """The profile that is stated for a device of this name; None: its own."""
        return dict(self.profile).get(device) if isinstance(self.profile, tuple) else self.profile

    @property
    def network(self) -> str:
        return self.stated.network

    @property
    def faults(self) -> Faults:
        return self.stated.faults

    @cached_property
    def pace(self) -> dict[int, float]:
        """How many times longer the kernels of straggling ranks take in the simulated step; others are not in it."""
        return dict(self.straggling)

    @property
    def serving(self) -> Serving:
        return self.stated.serving

    @property
    def prices(self) -> str | None:
        return self.stated.prices

    @property
    def steps(self) -> int:
        return self.stated.steps

    @property
    def seed(self) -> int:
        return self.stated.seed

    def located(self, error: ScenarioError) -> ScenarioError:
        """An error about one of this scenario's keys, with the file, the line and the scenario's name."""
        found = self.source.located(error) if self.source is not None else error
        found.name = self.name
        return found

    def canonical_json(self) -> str:
        """The scenario as one line of JSON, keys sorted, all defaults written out: equal texts, equal scenarios.

        It is a scenario file itself: loading it gives this scenario again.
        """
        return json.dumps(self.stated.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
