"""StepSource: what each compute action runs on a rank, as kernels and collectives in launch order.

The one place where an action's words (1B3.2, encode b7 topk, optimizer) meet the model's blocks, the tables' lookups,
the compressors and the optimizer.
"""

from __future__ import annotations

from functools import cache, lru_cache

from simulator.graph.pieces import Piece, codec_name, lookup_name, unit_name, update_name
from simulator.model import blocks, host, memory_rules, tables
from simulator.model.blocks import Cut
from simulator.model.blocks.kernels import memory_bound
from simulator.model.bottom_mlp import MEMBER, on_one_rank
from simulator.model.lengths import cuts_of, over_the_step
from simulator.model.tables import bottom
from simulator.model.work import Collective, Host, Step
from simulator.policies.compression import compressor_of
from simulator.program.actions import COMPUTE_VERBS, Action
from simulator.program.cuts import handed_on_bytes
from simulator.program.held import NOTHING, touches
from simulator.program.parameters import codec_shapes, local_shapes
from simulator.program.placement import holder, num_stages
from simulator.program.program import RankProgram
from simulator.units import DTYPE_BYTES

UNIT_STEPS = {"F": blocks.forward, "B": blocks.backward, "I": blocks.backward_inputs, "W": blocks.backward_weights}

UPDATES = ("table_optimizer", "optimizer")


class StepSource:
    """Steps of every compute action of one scenario. cut: what a rank works on in one microbatch, where its samples are
    all as long as the model's `seq`."""

    def __init__(self, scenario, cut: Cut):
        self.scenario, self.cut, self.cuts = scenario, cut, cuts_of(scenario, cut)
        self.model, self.plan = scenario.model, scenario.plan
        self.units = blocks.units(scenario.model)
        self._of_layer: dict[int, list[blocks.Unit]] = {}
        for unit in self.units:
            if unit.layer >= 0:
                self._of_layer.setdefault(unit.layer, []).append(unit)
        self._compressor = cache(lambda method: compressor_of(self.plan, method))
        self._touches: dict[tuple, dict] = {}
        self._pieces: dict[tuple, Piece] = {}
        self._kinds = lru_cache(maxsize=None)(
            lambda first, last: tuple(
                (unit.kind, blocks.training(self.model, unit)) for unit in self.units[first : last + 1]
            )
        )

    def signature(self, own: RankProgram, action: Action) -> tuple:
        """Equal signatures run equal steps: layers of one kind are alike, whatever their number."""
        if action.verb in COMPUTE_VERBS:
            first, last = own.chunk(action.stage).span(action.verb, action.segment)
            kinds, copied, samples = self._kinds(first, last), self._copied(own, action), own.samples_of(action)
            host_waits = self._opens(own, action), self._awaited(action)
            scattered = self._arrives_scattered(action)
            return (action.verb, kinds, scattered, copied, samples and samples.lengths, host_waits)
        if action.bucket is not None:
            return (own.chunks, action.verb, action.bucket, action.phase)
        if action.of is not None:  # of tables
            return (action.verb, action.of, own.samples_of(action), self._has_bottom(own), self._opens(own, action))
        return (own.chunks, action.verb, over_the_step(own.samples), self._has_bottom(own))

    def steps(self, own: RankProgram, action: Action) -> list[Piece]:
        """The action's steps, piece by piece: each piece starts when the one before it has ended."""
        pieces = self._pieces_of(own, action)
        if launches := self._awaited(action):
            pieces.insert(0, Piece("host", (Host(launches),), launched=False))
        if not self.cut.graphed:
            return pieces
        pieces = [piece._replace(launched=False) for piece in pieces]
        if self._opens(own, action):
            opening = host.opening(self.scenario, self.cut, has_bottom=self._has_bottom(own))
            pieces.insert(0, Piece("graph", opening, launched=False))
        if action.verb in UPDATES and action.name == _first(own, UPDATES):
            pieces.insert(0, Piece("grad_scaler.readback", host.readback(self.scenario), launched=False))
        if action.name == "optimizer":
            pieces.append(Piece("grad_scaler.update", host.closing(self.scenario), launched=False))
        return pieces

    def _pieces_of(self, own: RankProgram, action: Action) -> list[Piece]:
        verb = action.verb
        if verb in COMPUTE_VERBS:
            first, last = own.chunk(action.stage).span(verb, action.segment)
            cut = self.cuts(own.samples_of(action))
            pieces = self._forward(first, last, cut) if verb == "F" else self._backward(first, last, verb, cut)
            if self._arrives_scattered(action):
                pieces = [self._gather_boundary(cut), *pieces]
            unpacked, packed = self._copied(own, action)
            return [*self._copy(unpacked, self._unpacked_bytes), *pieces, *self._copy(packed, self._packed_bytes)]
        if verb in ("encode", "decode"):
            return [Piece(codec_name(self.plan.compression.method, action), self._codec(own, action))]
        if verb == "lookup":
            return [Piece(lookup_name(self.scenario, action.of), self._lookup(own, action))]
        if verb in ("deduplicate", "repeat"):
            forward = tables.find_distinct if verb == "deduplicate" else tables.repeat_vectors
            steps = forward if action.of == "F" else tables.sum_gradients
            return [Piece(f"tables.{verb}.{action.of}", steps(self.scenario, own.samples_of(action)))]
        if verb == "table_optimizer":
            return [Piece(update_name(self.scenario), self._update_tables(own))]
        if verb == "optimizer":
            return [Piece(f"{self.scenario.optimizer}.optimizer", self._optimizer(own, action))]
        raise ValueError(f"{verb!r} does not run on the compute stream")

    def _awaited(self, action: Action) -> int:
        """Launches that the device waits for before an action, since the host has waited for it."""
        plan, is_last = self.plan, action.stage == num_stages(self.plan) - 1
        if action.segment or action.verb not in ("F", "B", "I"):
            return 0
        transfers = self.cut.synchronizes and plan.pipeline > 1 and not plan.overlap.pipeline
        if action.verb == "F":
            return host.pass_launches(transfers, self.cut.broadcasts and self.model.trunk.block in host.MEGATRONS)
        return host.pass_launches(transfers and not is_last)  # the last stage has just made its gradient

    def _opens(self, own: RankProgram, action: Action) -> bool:
        """Whether the step is a graph, and this what it begins with."""
        return self.cut.graphed and action.name == _first(own)

    def _has_bottom(self, own: RankProgram) -> bool:
        """Whether this is the one rank that runs a DLRM's bottom MLP."""
        return own.rank == MEMBER and on_one_rank(self.scenario)

    def _lookup(self, own: RankProgram, action: Action) -> tuple[Step, ...]:
        if self._has_bottom(own):
            return bottom.lookup_steps(self.scenario, self.cut, action.of)
        if action.of == "F":
            return tables.lookup_forward(self.scenario, own.samples_of(action), self.cut.sparse_gradients)
        return tables.lookup_backward(self.scenario, own.samples_of(action), self.cut.sparse_gradients)

    def _update_tables(self, own: RankProgram) -> tuple[Step, ...]:
        if self._has_bottom(own):
            return bottom.update_steps(self.scenario, self.cut)
        return tables.optimizer(self.scenario, over_the_step(own.samples), self.cut.sparse_gradients)

    def wire(self, action: Action, ranks: int) -> tuple[str, int]:
        """The collective of a compressed reduction and its message: (op, bytes as `Collective` counts them)."""
        op = self._compressor(action.method).collectives[action.phase]
        return op, action.size_bytes * ranks if op == "all_gather" else action.size_bytes

    def _forward(self, first: int, last: int, cut: Cut) -> list[Piece]:
        return [self.unit(unit, "F", cut) for unit in self.units[first : last + 1]]

    def unit(self, unit, verb: str, cut: Cut | None = None) -> Piece:
        """A unit's forward pass (F), its backward pass (B) or a half of it (I, W). Units of a kind share one piece."""
        cut = cut or self.cut
        key = unit.kind, blocks.training(self.model, unit), verb, id(cut)  # cuts are kept by `self.cuts`
        if key not in self._pieces:
            steps = UNIT_STEPS[verb](self.model, unit, cut)
            self._pieces[key] = Piece(f"{unit_name(self.model, unit)}.{verb}", steps)
        return self._pieces[key]

    def _backward(self, first: int, last: int, verb: str, cut: Cut) -> list[Piece]:
        """Units in reverse; a recomputed layer runs forward again, whole, before its last unit's backward.

        In halves, I runs it again, and W reads what I has kept of it: nothing runs a third time.
        """
        mode, pieces = "none" if verb == "W" else self.plan.recompute, []
        for unit in reversed(self.units[first : last + 1]):
            layer = self._of_layer.get(unit.layer, [])
            if mode == "full" and layer and unit is layer[-1]:  # a later segment of the same layer finds it rerun
                pieces += [self._rerun(other, mode, cut) for other in layer]
            elif mode in ("selective", "selective_op"):
                pieces.append(self._rerun(unit, mode, cut))
            pieces.append(self.unit(unit, verb, cut))
        return pieces

    def _rerun(self, unit, mode: str, cut: Cut) -> Piece:
        key = unit.kind, blocks.training(self.model, unit), mode, id(cut)
        if key not in self._pieces:
            steps = blocks.recompute(self.model, unit, cut, mode)
            self._pieces[key] = Piece(f"{unit_name(self.model, unit)}.F", steps)
        return self._pieces[key]

    def _arrives_scattered(self, action: Action) -> bool:
        """True where this action's input came as 1/tensor shares (see `cuts.boundary_bytes`)."""
        plan = self.plan
        if plan.tensor == 1 or plan.sequence_parallel or action.verb == "W" or action.segment:
            return False
        source = action.stage - (1 if action.verb == "F" else -1)
        return 0 <= source < num_stages(plan) and holder(plan, source) != holder(plan, action.stage)

    def _gather_boundary(self, cut: Cut) -> Piece:
        return Piece("gather", (Collective("all_gather", "tensor", handed_on_bytes(self.scenario, cut)),))

    def _copied(self, own: RankProgram, action: Action) -> tuple[int, int]:
        """Elements of the sharded buckets that are copied out of a gathered message before an action, and into that of
        a reduction behind it (`program/held.py`)."""
        if own.chunks not in self._touches:  # ranks with the same chunks launch the same actions
            self._touches[own.chunks] = touches(own, self.scenario)
        touch = self._touches[own.chunks].get(action.name, NOTHING)
        if touch == NOTHING:
            return 0, 0
        sizes = {bucket.name: bucket for bucket in own.buckets}
        unpacked = sum(sizes[name].parameters for name in touch.unpacks)
        return unpacked, sum(sizes[name].numel for name in touch.packs)

    def _copy(self, elements: int, passes: int) -> list[Piece]:
        return [Piece("copy", (memory_bound("copy", elements, passes, self.cut),))] if elements else []

    @property
    def _unpacked_bytes(self) -> int:
        """Reads the gathered parameter, writes what kernels read (FSDP2's split_with_sizes_copy; a cast where
        parameters are wider than activations)."""
        return DTYPE_BYTES[self.scenario.precision.parameters] + self.cut.bytes

    @property
    def _packed_bytes(self) -> int:
        """Reads the gradient, in the dtype of the parameter that autograd made it for or of the accumulated one; writes
        the message (FSDP2's chunk_cat). The sum of a rank's shards over microbatches, 1/N of it, is not priced."""
        precision = self.scenario.precision
        gradient = precision.parameters if self.plan.scatters_each else precision.gradients
        return DTYPE_BYTES[gradient] + DTYPE_BYTES[precision.reduce]

    def _codec(self, own: RankProgram, action: Action) -> tuple[Step, ...]:
        bucket = own.bucket(action.bucket)
        reduce_dtype = self.scenario.precision.reduce
        compressor = self._compressor(action.method)
        shapes = codec_shapes(self.scenario, bucket, compressor)
        if action.verb == "encode":
            return compressor.phases(shapes, reduce_dtype)[action.phase].encode
        replicas = self.plan.data * self.plan.context
        return compressor.decode(shapes, reduce_dtype, replicas)

    def _optimizer(self, own: RankProgram, action: Action) -> tuple[Step, ...]:
        """The update of one bucket, or of all that have none of their own.

        Before it, under sequence parallelism, every tensor rank has seen only its own positions, and gradients of what
        all of them hold whole (norms, row-parallel biases) are added (Megatron-LM's finalize_model_grads). Gradient
        clipping's norm is not reduced: a few bytes.
        """
        spans = own.updated(action)
        shapes = [shape for span in spans for shape in local_shapes(self.scenario, *span)]
        update = memory_rules.optimizer_kernels(self.scenario, shapes, clips=self.cut.clips)
        if not self.plan.sequence_parallel or self.plan.tensor == 1:
            return update
        units = [unit for first, last in spans for unit in self.units[first : last + 1]]
        count = sum(
            parameter.count
            for unit in units
            for parameter in blocks.parameters(self.model, unit)
            if parameter.axis == "none" and not parameter.frozen
        )
        size = count * DTYPE_BYTES[self.scenario.precision.gradients]
        return (Collective("all_reduce", "tensor", size), *update) if size else update


def _first(own: RankProgram, verbs: tuple[str, ...] = ()) -> str:
    """Name of the first compute action of a rank, or of the first with one of these verbs."""
    actions = (launch.action for launch in own.launches if launch.stream == "compute")
    return next(action.name for action in actions if not verbs or action.verb in verbs)
