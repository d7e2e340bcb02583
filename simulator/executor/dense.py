"""The dense parameters of a rank: buckets, their reduction over replicas, ZeRO 1, and the update."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from simulator.executor import weights as starts
from simulator.executor.flat import FlatBucket, Held
from simulator.executor.groups import Group
from simulator.executor.numerics import Numerics
from simulator.executor.optimizers import update
from simulator.model import blocks
from simulator.program.placement import ends_meet
from simulator.program.program import RankProgram


class DenseParameters:
    """buckets: by name; a rank without reductions has one for each chunk. weights: every parameter by name.

    data, tensor: this rank's groups. zero: whether replicas share the optimizer's part.
    """

    def __init__(
        self, scenario, own: RankProgram, numerics: Numerics, data: Group, tensor: Group, device: torch.device,
        learning_rate: float | None,
    ):  # fmt: skip
        self.numerics, self.data, self.tensor = numerics, data, tensor
        self.zero = bool(scenario.plan.zero) and data.size > 1
        self.sums_replicated = scenario.plan.sequence_parallel and tensor.size > 1
        model, degree = scenario.model, scenario.layout.tensor
        units = blocks.units(model)

        def start(one: Held) -> torch.Tensor:
            whole = starts.initial(scenario.seed, one.parameter.name, one.parameter.shape)
            widths = starts.parts(model, units[one.unit], one.parameter)
            return starts.shard(whole, one.parameter, widths, degree, tensor.index)

        spans = [(bucket.name, bucket.first, bucket.last) for bucket in own.buckets]
        spans = spans or [(f"chunk{chunk.stage}", chunk.first, chunk.last) for chunk in own.chunks]
        self.buckets: dict[str, FlatBucket] = {}
        for name, first, last in spans:
            held = held_parameters(scenario, first, last)
            self.buckets[name] = FlatBucket.of(
                name, held, start, numerics.parameters, numerics.gradients, device
            )  # fmt: skip
        for bucket in own.buckets:
            if self.buckets[bucket.name].numel != bucket.numel:
                raise AssertionError(f"{bucket.name} holds {self.buckets[bucket.name].numel}, not {bucket.numel}")
        self.weights = {name: view for bucket in self.buckets.values() for name, view in bucket.views.items()}
        self.held = {one.parameter.name: one for bucket in self.buckets.values() for one in bucket.held}
        self.masters = {name: self._master(bucket) for name, bucket in self.buckets.items()}
        self.optimizer, self.learning_rate = scenario.optimizer, learning_rate
        self.states: dict[str, dict[str, torch.Tensor]] = {name: {} for name in self.buckets}
        self._replicated: dict[str, torch.Tensor] = {}

    def of_units(self, first: int, last: int) -> list[FlatBucket]:
        """Buckets that hold parameters of units [first, last]."""
        return [b for b in self.buckets.values() if any(first <= one.unit <= last for one in b.held)]

    def reduce(self, bucket: FlatBucket) -> int:
        """Sums a bucket's gradients over replicas; returns the bytes of the message."""
        flat = bucket.gradients.to(self.numerics.reduce)
        self.data.all_reduce(flat, self.numerics.reduce_bytes)
        if flat is not bucket.gradients:
            bucket.gradients.copy_(flat)
        return flat.numel() * self.numerics.reduce_bytes

    def reduce_scatter(self, bucket: FlatBucket) -> int:
        """Leaves this replica's part of the sum in `bucket.reduced`; returns the bytes of the message, less padding."""
        staged = bucket.stage_parts(bucket.gradients.to(self.numerics.reduce), self.data.size)
        part = self.data.reduce_scatter(staged.reshape(-1), self.numerics.reduce_bytes)
        bucket.reduced = part.to(self.numerics.gradients)
        return bucket.numel * self.numerics.reduce_bytes

    def all_gather(self, bucket: FlatBucket) -> int:
        """Brings every replica's updated part into the weights; returns the bytes of the message, less padding."""
        part = self.masters[bucket.name].detach().to(self.numerics.parameters)
        parts = self.data.all_gather(part, self.numerics.parameter_bytes).view(self.data.size, -1)
        with torch.no_grad():
            bucket.unstage_parts(parts, bucket.weights)
        return bucket.numel * self.numerics.parameter_bytes

    def tied_gradient(self) -> torch.Tensor:
        """The gradient of the token embedding that another stage holds too; under ZeRO what this replica does not own
        of it is zero."""
        name = next(name for name, one in self.held.items() if one.tied)
        bucket = next(bucket for bucket in self.buckets.values() if name in bucket.views)
        if self.zero:
            parts = bucket.gradients.new_zeros((self.data.size, bucket.reduced.numel()))
            parts[self.data.index] = bucket.reduced
            bucket.unstage_parts(parts, bucket.gradients)
        return bucket.views[name].main_grad

    def accept_tied(self) -> None:
        """Takes the summed tied gradient back into this replica's part."""
        if not self.zero:
            return
        for bucket in self.buckets.values():
            if any(one.tied for one in bucket.held):
                bucket.reduced = bucket.stage_parts(bucket.gradients, self.data.size)[self.data.index].clone()

    def update(self, names: Sequence[str] | None = None, *, pending: bool = True) -> None:
        """One optimizer step of these buckets (None: all), and their gradients are zero again.

        pending: whether there are gradients; a bucket whose reduction waits for the next step has none in the first.
        Under sequence parallelism every tensor rank has seen only its own positions: gradients of parameters that all
        of them hold are added first (Megatron-LM's finalize_model_grads).
        """
        buckets = {name: self.buckets[name] for name in (self.buckets if names is None else names)}
        owned = {name: bucket.reduced if self.zero else bucket.gradients for name, bucket in buckets.items()}
        if self.sums_replicated:
            self._sum_replicated(owned)
        if not pending:
            return
        with torch.no_grad():
            for name, bucket in buckets.items():
                master = self.masters[name]
                update(self.optimizer, master, owned[name].to(master.dtype), self.states[name], self.learning_rate)
                if not self.zero and self.numerics.has_master:
                    bucket.weights.copy_(master)
                bucket.gradients.zero_()

    def _sum_replicated(self, owned: dict[str, torch.Tensor]) -> None:
        """One message for all buckets, as long as the parameters themselves: under zero Megatron-LM sends the whole
        gradients too, of which only the owned part means anything."""
        places = {name: self._replicated_places(self.buckets[name]) for name in owned}
        values = {name: owned[name].new_zeros(_num_replicated(self.buckets[name])) for name in owned}
        for name, place in places.items():
            values[name][: len(place)] = owned[name][place]
        message = torch.cat(list(values.values()))
        self.tensor.all_reduce(message, self.numerics.gradient_bytes)
        for name, part in zip(owned, message.split([len(own) for own in values.values()]), strict=True):
            owned[name][places[name]] = part[: len(places[name])]

    def _replicated_places(self, bucket: FlatBucket) -> torch.Tensor:
        """Places, in what this replica owns of a bucket, of parameters that every tensor rank holds whole."""
        if bucket.name not in self._replicated:
            mask = torch.zeros(bucket.numel, dtype=torch.uint8, device=bucket.weights.device)
            for one in bucket.held:
                first, count = bucket.places[one.parameter.name]
                mask[first : first + count] = one.parameter.axis == "none"
            if self.zero:
                mask = bucket.stage_parts(mask, self.data.size)[self.data.index]
            self._replicated[bucket.name] = mask.nonzero()[:, 0]
        return self._replicated[bucket.name]

    def _master(self, bucket: FlatBucket) -> torch.Tensor:
        if self.zero:
            return bucket.stage_parts(bucket.weights, self.data.size)[self.data.index].to(self.numerics.master).clone()
        # without a master copy the optimizer writes the weights themselves
        return bucket.weights.to(self.numerics.master) if self.numerics.has_master else bucket.weights


def held_parameters(scenario, first: int, last: int) -> tuple[Held, ...]:
    """What one rank holds of units [first, last], in the order of `program.lowering.local_shapes`."""
    model, layout = scenario.model, scenario.layout
    units = blocks.units(model)
    tied = None if ends_meet(scenario.plan) else blocks.tied_parameter(model)
    found = []
    for index in range(first, last + 1):
        for parameter in blocks.parameters(model, units[index]):
            is_tied = tied is not None and parameter.name == tied.name
            found.append(Held(parameter, index, parameter.local_shape(layout.tensor), is_tied))
    if tied is not None and units[last].kind == "head":
        found.append(Held(tied, last, tied.local_shape(layout.tensor), True))
    return tuple(found)


def _num_replicated(bucket: FlatBucket) -> int:
    """Entries of a bucket's parameters that every tensor rank holds whole."""
    return sum(bucket.places[one.parameter.name][1] for one in bucket.held if one.parameter.axis == "none")
