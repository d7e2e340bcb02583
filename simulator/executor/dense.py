"""The dense parameters of a rank: buckets, their reduction over replicas, ZeRO, and the update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from simulator.executor import weights as starts
from simulator.executor.flat import FlatBucket, hold, let_go
from simulator.executor.groups import Group
from simulator.executor.held import Held, held_parameters
from simulator.executor.lamb import Layers
from simulator.executor.numerics import Numerics
from simulator.executor.optimizers import update
from simulator.model import blocks
from simulator.model import memory_rules as priced
from simulator.program.held import Touch
from simulator.program.program import RankProgram


class DenseParameters:
    """buckets: by name; a chunk without reductions has one of its own. weights: every parameter by name.

    data, tensor: this rank's groups. shard: of those that share what zero shards; copies: of those that hold the same
    share; default: all of `data`, and none. values: what parameters start from; default: as a run does. zero: whether
    replicas share the optimizer's part; scatters, gathers: whether they share accumulated gradients, parameters.
    divided: whether the plan's zero divides these at all; what one rank has for itself it does not.
    """

    def __init__(
        self, scenario, own: RankProgram, numerics: Numerics, data: Group, tensor: Group, device: torch.device,
        learning_rate: float | None, shard: Group | None = None, copies: Group | None = None,
        values: Mapping[str, torch.Tensor] | None = None, *, divided: bool = True,
    ):  # fmt: skip
        self.numerics, self.data, self.tensor = numerics, data, tensor
        self.shard, self.copies = shard or data, copies
        plan = scenario.plan
        self.zero, self.scatters = divided and plan.shards > 1, divided and plan.scatters_each
        self.gathers = divided and plan.gathers_blocks
        self.sums_replicated = scenario.plan.sequence_parallel and tensor.size > 1
        model, degree = scenario.model, scenario.layout.tensor
        units = blocks.units(model)

        def start(one: Held) -> torch.Tensor:
            if values is not None:
                return values[one.parameter.name].view(one.shape)
            whole = starts.initial(scenario.seed, one.parameter.name, one.parameter.shape)
            widths = starts.parts(model, units[one.unit], one.parameter)
            return starts.shard(whole, one.parameter, widths, degree, tensor.index)

        spans = [(bucket.name, bucket.first, bucket.last) for bucket in own.buckets]
        reduced = {bucket.stage for bucket in own.buckets}
        spans += [(f"chunk{one.stage}", one.first, one.last) for one in own.chunks if one.stage not in reduced]
        self.buckets: dict[str, FlatBucket] = {}
        for name, first, last in spans:
            held = held_parameters(scenario, first, last)
            # autograd's own gradients, where none are accumulated: in the parameter's dtype
            accumulated = numerics.parameters if self.scatters else numerics.gradients
            self.buckets[name] = FlatBucket.of(name, held, start, numerics.parameters, accumulated, device)
        for bucket in own.buckets:
            if self.buckets[bucket.name].numel != bucket.numel:
                raise AssertionError(f"{bucket.name} holds {self.buckets[bucket.name].numel}, not {bucket.numel}")
            if self.gathers and self.buckets[bucket.name].weights.numel() != bucket.parameters:
                raise AssertionError(f"{bucket.name} gathers other than {bucket.parameters} parameters")
        self.weights = {name: view for bucket in self.buckets.values() for name, view in bucket.views.items()}
        self.held = {one.parameter.name: one for bucket in self.buckets.values() for one in bucket.held}
        self.masters = {name: self._master(bucket) for name, bucket in self.buckets.items()}
        self.optimizer, self.learning_rate = scenario.optimizer, learning_rate
        self.states: dict[str, dict[str, torch.Tensor]] = {name: {} for name in self.buckets}
        self._replicated: dict[str, torch.Tensor] = {}
        self._found: dict[str, Layers] = {}
        for bucket in self.buckets.values():
            if self.gathers:
                let_go(bucket.weights)
            if self.scatters:
                let_go(bucket.gradients)

    def begin(self, touch: Touch) -> None:
        """What a compute action needs whole; what it knows to be over."""
        for name in touch.releases:
            self.buckets[name].outgoing = None
        for name in touch.unpacks:
            _used_here(self.buckets[name].arrived)
            self.buckets[name].unpack()
        for name in touch.opens:
            hold(self.buckets[name].gradients)
            self.buckets[name].gradients.zero_()

    def end(self, touch: Touch) -> None:
        """What a compute action was the last to need whole."""
        for name in touch.packs:
            self.buckets[name].pack(self.shard.size, self.numerics.reduce)
            if self.scatters:
                let_go(self.buckets[name].gradients)
        for name in touch.drops:
            let_go(self.buckets[name].weights)

    def make_whole(self) -> None:
        """Every parameter and gradient on this rank, to stay: the end of a run, or a measurement of single pieces."""
        with torch.no_grad():
            for bucket in self.buckets.values():
                if self.gathers or (self.zero and bucket.numel):
                    self.all_gather(bucket)
                if self.gathers:
                    bucket.unpack()
                if self.scatters:
                    hold(bucket.gradients)
                    bucket.gradients.zero_()

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
        """Leaves this replica's part of the sum in `bucket.reduced`, or in `bucket.incoming` where copies have yet to
        add up; returns the bytes of the message, less padding."""
        staged = bucket.outgoing
        if staged is None:
            staged = bucket.stage_parts(bucket.gradients.to(self.numerics.reduce), self.shard.size)
        _used_here(staged)
        part = self.shard.reduce_scatter(staged.reshape(-1), self.numerics.reduce_bytes)
        if self.copies is None:
            self._take(bucket, part)
        else:
            bucket.incoming = part
        return bucket.numel * self.numerics.reduce_bytes

    def to_encode(self, bucket: FlatBucket, *, in_parts: bool) -> torch.Tensor:
        """A bucket's gradients in the dtype of the reduction, flat, for a compressor, which may change them. in_parts:
        as they are divided among owners."""
        staged, bucket.outgoing = bucket.outgoing, None
        if in_parts:
            if staged is None:
                staged = bucket.stage_parts(bucket.gradients.to(self.numerics.reduce), self.shard.size)
            return staged.reshape(-1)
        if staged is None:
            return bucket.gradients.to(self.numerics.reduce)
        flat = staged.new_empty(bucket.numel)
        bucket.unstage_parts(staged, flat)
        return flat

    def take_decoded(self, bucket: FlatBucket, *, in_parts: bool) -> None:
        """Takes the sum that a compressor has decoded: whole, or this replica's part."""
        decoded, bucket.encoded = bucket.encoded, None
        if not self.zero:
            if decoded is not bucket.gradients:
                bucket.gradients.copy_(decoded)
            return
        if not in_parts:
            decoded = bucket.stage_parts(decoded, self.shard.size)[self.shard.index].clone()
        self._take(bucket, decoded)

    def add_copies(self, bucket: FlatBucket) -> int:
        """Sums this replica's part over those that hold the same; returns the bytes of the message, less padding."""
        _used_here(bucket.incoming)
        self._take(bucket, self.copies.all_reduce(bucket.incoming, self.numerics.reduce_bytes))
        bucket.incoming = None
        return priced.part(bucket.numel, self.shard.size) * self.numerics.reduce_bytes

    def _take(self, bucket: FlatBucket, part: torch.Tensor) -> None:
        part = part.to(self.numerics.gradients)
        if self.scatters and bucket.reduced is not None:
            bucket.reduced.add_(part)
        else:
            bucket.reduced = part

    def all_gather(self, bucket: FlatBucket) -> int:
        """Brings every replica's updated part: into the weights, or, where these are dropped again, into `arrived`;
        returns the bytes of the message, less padding."""
        part = bucket.own if self.gathers else self.masters[bucket.name].detach().to(self.numerics.parameters)
        parts = self.shard.all_gather(part, self.numerics.parameter_bytes).view(self.shard.size, -1)
        if self.gathers:
            bucket.arrived = parts
            return bucket.weights.numel() * self.numerics.parameter_bytes
        with torch.no_grad():
            bucket.unstage_parts(parts, bucket.weights)
        return bucket.numel * self.numerics.parameter_bytes

    def tied_gradient(self) -> torch.Tensor:
        """The gradient of the token embedding that another stage holds too; under ZeRO what this replica does not own
        of it is zero."""
        name = next(name for name, one in self.held.items() if one.tied)
        bucket = next(bucket for bucket in self.buckets.values() if name in bucket.views)
        if self.zero:
            parts = bucket.gradients.new_zeros((self.shard.size, bucket.reduced.numel()))
            parts[self.shard.index] = bucket.reduced
            bucket.unstage_parts(parts, bucket.gradients)
        return bucket.views[name].main_grad

    def accept_tied(self) -> None:
        """Takes the summed tied gradient back into this replica's part."""
        if not self.zero:
            return
        for bucket in self.buckets.values():
            if any(one.tied for one in bucket.held):
                bucket.reduced = bucket.stage_parts(bucket.gradients, self.shard.size)[self.shard.index].clone()

    def update(self, names: Sequence[str] | None = None, *, pending: bool = True) -> None:
        """One optimizer step of these buckets (None: all), and their gradients are zero again.

        pending: whether there are gradients; a bucket whose reduction waits for the next step has none in the first.
        Under sequence parallelism every tensor rank has seen only its own positions: gradients of parameters that all
        of them hold are added first (Megatron-LM's finalize_model_grads).
        """
        buckets = {name: self.buckets[name] for name in (self.buckets if names is None else names)}
        buckets = {name: bucket for name, bucket in buckets.items() if bucket.numel}
        owned = {name: bucket.reduced if self.zero else bucket.gradients for name, bucket in buckets.items()}
        if self.sums_replicated:
            self._sum_replicated(owned)
        if not pending:
            return
        with torch.no_grad():
            for name, bucket in buckets.items():
                master = self.masters[name]
                gradient = owned[name].to(master.dtype)
                update(self.optimizer, master, gradient, self.states[name], self.learning_rate, self._layers(bucket))
                if self.numerics.has_master and (self.gathers or not self.zero):
                    (bucket.own if self.gathers else bucket.weights)[: master.numel()].copy_(master)
                if self.scatters:
                    bucket.reduced = None
                else:
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

    def _layers(self, bucket: FlatBucket) -> Layers | None:
        """The parameters in what this replica owns of a bucket, for an optimizer that takes them apart."""
        if self.optimizer == "lamb" and bucket.name not in self._found:
            self._found[bucket.name] = Layers.of(bucket, self.shard if self.zero else None, self.tensor)
        return self._found.get(bucket.name)

    def _replicated_places(self, bucket: FlatBucket) -> torch.Tensor:
        """Places, in what this replica owns of a bucket, of parameters that every tensor rank holds whole."""
        if bucket.name not in self._replicated:
            mask = torch.zeros(bucket.numel, dtype=torch.uint8, device=bucket.weights.device)
            for one in bucket.held:
                first, count = bucket.places[one.parameter.name]
                mask[first : first + count] = _is_replicated(one)
            if self.zero:
                mask = bucket.stage_parts(mask, self.shard.size)[self.shard.index]
            self._replicated[bucket.name] = mask.nonzero()[:, 0]
        return self._replicated[bucket.name]

    def _master(self, bucket: FlatBucket) -> torch.Tensor:
        if self.gathers:
            own = bucket.stage_parts(bucket.weights, self.shard.size, bucket.all_regions)[self.shard.index].clone()
            bucket.own = own
            return own[: sum(priced.part(length, self.shard.size) for _, length in bucket.regions)].to(
                self.numerics.master
            )
        if self.zero:
            own = bucket.stage_parts(bucket.trained_weights, self.shard.size)[self.shard.index].clone()
            return own.to(self.numerics.master)
        # without a master copy the optimizer writes the weights themselves
        own = bucket.trained_weights
        return own.to(self.numerics.master) if self.numerics.has_master else own


def _used_here(tensor: torch.Tensor) -> None:
    """On a device: memory that another stream has made is not given away before this stream is done with it."""
    if tensor.is_cuda:
        tensor.record_stream(torch.cuda.current_stream())


def _num_replicated(bucket: FlatBucket) -> int:
    """Entries of a bucket's parameters that every tensor rank holds whole."""
    return sum(bucket.places[one.parameter.name][1] for one in bucket.held if _is_replicated(one))


def _is_replicated(one: Held) -> bool:
    """Whether every tensor rank trains all of it."""
    return one.parameter.axis == "none" and not one.parameter.frozen
