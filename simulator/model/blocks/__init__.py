"""The model as units in forward order, and what each unit launches, keeps and hands on.

    for unit in units(model):
        forward(model, unit, cut), backward(model, unit, cut)     tuples of steps (model/work.py), one tensor rank's
        backward_inputs, backward_weights                         its halves I and W, where they run apart
        recompute(model, unit, cut, mode)                         what runs again before that backward
        parameters(model, unit)                                   dense weights and how they are sharded
        kept_bytes(model, unit, cut, mode)                        activations from forward to backward
        weight_bytes(model, unit, cut)                            what is kept from I to W
    working_bytes(model, unit, cut)                           gradients of activations, alive inside its backward

A block family is one file and one line in STYLES.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from simulator.errors import NotSupportedYet
from simulator.model.blocks import (
    adapter,
    bert,
    dlrm_bottom,
    dlrm_interaction,
    embedding,
    gpt,
    head,
    hstu,
    llama,
    profiled,
    sasrec,
    working,
)
from simulator.model.blocks.adapter import Training
from simulator.model.blocks.cut import MODES, Cut, Parameter, Unit
from simulator.model.blocks.embedding import sparse_tables
from simulator.model.blocks.head import tied_parameter
from simulator.model.spec import ModelSpec, Trunk
from simulator.model.work import Kernel, Step, backward_halves, forward_flops

__all__ = ["MODES", "Cut", "Parameter", "Unit", "adapter_targets", "backward", "backward_inputs", "backward_weights",
           "boundary_bytes", "forward", "kept_bytes", "model_flops", "num_parameters", "parameters", "recompute",
           "sparse_tables", "tied_parameter", "training", "transient_bytes", "units", "vectors_enter", "weight_bytes",
           "working_bytes"]  # fmt: skip

STYLES = {
    "profiled": profiled.STYLE,
    "gpt": gpt.STYLE,
    "llama": llama.STYLE,
    "bert": bert.STYLE,
    "sasrec": sasrec.STYLE,
    "hstu": hstu.STYLE,
}
OUTSIDE = {"embedding": embedding, "head": head, "bottom": dlrm_bottom, "interaction": dlrm_interaction}
"""Units that are in no layer: a module each, with functions of the model and the cut."""


def units(model: ModelSpec) -> tuple[Unit, ...]:
    """Embedding, the layers' units, head; of a DLRM bottom, interaction, head. Raises NotSupportedYet for what no block
    builds yet."""
    trunk = model.trunk
    if model.is_dlrm:
        first = (Unit("bottom"),) if model.dense.bottom else ()
        between = () if model.dense.interaction == "none" else (Unit("interaction"),)
        return (*first, *between, Unit("head"))
    if trunk.block == profiled.OP:
        return profiled.units(trunk)
    if trunk.block not in STYLES:
        raise NotSupportedYet(
            f"block {trunk.block} is not supported yet; use one of {', '.join(STYLES)}", key="model.trunk.block"
        )
    return _layered_units(STYLES[trunk.block].kinds, trunk.num_layers)


@lru_cache(maxsize=256)
def _layered_units(kinds: tuple[str, ...], num_layers: int) -> tuple[Unit, ...]:
    layers = (Unit(kind, layer) for layer in range(num_layers) for kind in kinds)
    return (Unit("embedding"), *layers, Unit("head"))


def adapter_targets(trunk: Trunk) -> tuple[str, ...]:
    """What `model.adapter.targets` may name in this family of blocks."""
    style = STYLES[trunk.block]
    return adapter.targets([(kind, style.parts(trunk, kind)) for kind in style.kinds])


def training(model: ModelSpec, unit: Unit) -> Training:
    """What of a unit is trained, and whether the gradient of its input is asked for."""
    return adapter.WHOLE if model.adapter is None else _training(model, unit)


@lru_cache(maxsize=4096)
def _training(model: ModelSpec, unit: Unit) -> Training:
    style, trunk = STYLES[model.trunk.block], model.trunk
    parts = {kind: style.parts(trunk, kind) for kind in style.kinds}
    adapted = (kind for kind, own in parts.items() if set(adapter.targets([(kind, own)])) & set(model.adapter.targets))
    lowest = None if sparse_tables(model) else Unit(next(adapted), 0)
    return adapter.training(model, unit, parts.get(unit.kind, ()), lowest)


def parameters(model: ModelSpec, unit: Unit) -> tuple[Parameter, ...]:
    """The unit's dense weights; a head tied to the embedding has no logits' matrix of its own (`tied_parameter`).

    With an adapter all weights are frozen but its own, which come last.
    """
    outside = unit.kind in OUTSIDE
    own = OUTSIDE[unit.kind].parameters(model) if outside else STYLES[model.trunk.block].parameters(model.trunk, unit)
    if model.adapter is None:
        return own
    frozen = tuple(replace(parameter, frozen=True) for parameter in own)
    if outside:
        return frozen
    inner = model.trunk.ffn if unit.kind == "mlp" else model.trunk.query_width
    return frozen + adapter.parameters(unit, model.trunk.hidden, inner, training(model, unit))


def forward(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """What the unit launches in its forward pass, in launch order."""
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].forward(model, cut)
    return STYLES[model.trunk.block].forward(model.trunk, unit, cut, training(model, unit))


def backward(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """What the unit launches in its backward pass: input gradients and weight gradients.

    Nothing where neither it nor anything in front of it is trained.
    """
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].backward(model, cut, training(model, unit))
    return STYLES[model.trunk.block].backward(model.trunk, unit, cut, training(model, unit))


def backward_inputs(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """I, the half of `backward` that the stage before waits for: input gradients, and the small gradients (of norms,
    biases, embeddings) that fall out of the same kernels."""
    return backward_halves(backward(model, unit, cut))[0]


def backward_weights(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """W, the rest of `backward`: the weight gradients of linear layers."""
    return backward_halves(backward(model, unit, cut))[1]


def recompute(model: ModelSpec, unit: Unit, cut: Cut, mode: str) -> tuple[Step, ...]:
    """What runs again before the unit's backward, by `MODES`: nothing, the attention core, cheap ops, its forward (up
    to a layer's last product, where software stops early).

    Under full the layer is one checkpoint: the recompute of both its units comes before the backward of the second.
    """
    _check_mode(mode)
    if mode == "none" or unit.layer < 0:
        return ()
    style = STYLES[model.trunk.block]
    rerun = {"selective": style.core, "selective_op": style.cheap, "full": style.again}[mode]
    steps = rerun(model.trunk, unit, cut, training(model, unit))
    return tuple(step.as_recompute() if isinstance(step, Kernel) else step for step in steps)


def kept_bytes(model: ModelSpec, unit: Unit, cut: Cut, mode: str = "none") -> int:
    """Activation bytes that a rank keeps from this unit's forward to its backward, for one microbatch."""
    _check_mode(mode)
    trained = training(model, unit)
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].kept_bytes(model, cut, trained)
    if mode == "full":  # the layer's input, once for the layer
        return boundary_bytes(model, cut) if unit.kind in ("attention", "hstu") else 0
    return STYLES[model.trunk.block].kept_bytes(model.trunk, unit, cut, mode, trained)


def weight_bytes(model: ModelSpec, unit: Unit, cut: Cut) -> int:
    """Bytes that a rank keeps from this unit's I to its W, for one microbatch: each linear layer's input and the
    gradient of its output, as the products read them."""
    trained = training(model, unit)
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].weight_bytes(model, cut, trained)
    return STYLES[model.trunk.block].weight_bytes(model.trunk, unit, cut, trained)


def transient_bytes(model: ModelSpec, unit: Unit, cut: Cut, mode: str) -> int:
    """Bytes that are alive only while this unit's recomputed activations are: one layer at a time (full), or unit."""
    return kept_bytes(model, unit, cut, "none") - kept_bytes(model, unit, cut, mode) if unit.layer >= 0 else 0


def working_bytes(model: ModelSpec, unit: Unit, cut: Cut) -> int:
    """Most bytes of activation gradients that are alive at once inside the unit's backward."""
    trained = training(model, unit)
    if not trained.runs:
        return 0
    return working.working_bytes(model, unit, cut, getattr(STYLES.get(model.trunk.block), "gated", False), trained)


def boundary_bytes(model: ModelSpec, cut: Cut, unit: Unit | None = None) -> int:
    """The layer's output that one rank hands to the next stage: b s h activations, 1/tensor under sequence parallelism.
    Of a profiled layer, `unit`, what it states.

    Without it Megatron-LM's scatter/gather sends 1/tensor of this from each rank and gathers on arrival.
    """
    if model.trunk.block == profiled.OP:
        return kept_bytes(model, unit, cut)
    return cut.shard_tokens * model.trunk.hidden * cut.bytes


def vectors_enter(model: ModelSpec) -> int:
    """The place of the unit that reads the looked-up vectors; units before it run while they travel."""
    return next((place for place, unit in enumerate(units(model)) if unit.kind == "interaction"), 0)


def num_parameters(model: ModelSpec, *, trained: bool = False) -> int:
    """Dense parameters of the whole model; sparse tables are counted by `model/tables.py`. trained: frozen ones not."""
    found = (parameter for unit in units(model) for parameter in parameters(model, unit))
    return sum(parameter.count for parameter in found if not (trained and parameter.frozen))


@lru_cache(maxsize=256)
def model_flops(model: ModelSpec, samples: int, lengths: tuple[int, ...] = ()) -> int:
    """Model FLOPs of a step of `samples`: three times the forward pass, from the same steps that are priced.

    `lengths`: the real lengths of those samples, where they are not all `trunk.seq`.
    """
    cut = Cut(samples, model.trunk.seq, lengths=lengths)
    return 3 * sum(forward_flops(forward(model, unit, cut)) for unit in units(model))


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise NotSupportedYet(
            f"recompute {mode} is not supported yet; use one of {', '.join(MODES)}", key="plan.recompute"
        )
