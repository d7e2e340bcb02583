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

from functools import lru_cache

from simulator.errors import NotSupportedYet
from simulator.model.blocks import (
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
from simulator.model.blocks.cut import MODES, Cut, Parameter, Unit
from simulator.model.blocks.embedding import sparse_tables
from simulator.model.blocks.head import tied_parameter
from simulator.model.spec import ModelSpec
from simulator.model.work import Kernel, Step, backward_halves, forward_flops

__all__ = ["MODES", "Cut", "Parameter", "Unit", "backward", "backward_inputs", "backward_weights", "boundary_bytes",
           "forward", "kept_bytes", "model_flops", "num_parameters", "parameters", "recompute", "sparse_tables",
           "tied_parameter", "transient_bytes", "units", "vectors_enter", "weight_bytes", "working_bytes"]  # fmt: skip

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
    if model.adapter is not None:
        raise NotSupportedYet("adapters are not supported yet; leave adapter out", key="model.adapter")
    kinds = ("hstu",) if trunk.block == "hstu" else ("attention", "mlp")
    layers = (Unit(kind, layer) for layer in range(trunk.num_layers) for kind in kinds)
    return (Unit("embedding"), *layers, Unit("head"))


def parameters(model: ModelSpec, unit: Unit) -> tuple[Parameter, ...]:
    """The unit's dense weights; a head tied to the embedding has no logits' matrix of its own (`tied_parameter`)."""
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].parameters(model)
    return STYLES[model.trunk.block].parameters(model.trunk, unit)


def forward(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """What the unit launches in its forward pass, in launch order."""
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].forward(model, cut)
    return STYLES[model.trunk.block].forward(model.trunk, unit, cut)


def backward(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """What the unit launches in its backward pass: input gradients and weight gradients."""
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].backward(model, cut)
    return STYLES[model.trunk.block].backward(model.trunk, unit, cut)


def backward_inputs(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """I, the half of `backward` that the stage before waits for: input gradients, and the small gradients (of norms,
    biases, embeddings) that fall out of the same kernels."""
    return backward_halves(backward(model, unit, cut))[0]


def backward_weights(model: ModelSpec, unit: Unit, cut: Cut) -> tuple[Step, ...]:
    """W, the rest of `backward`: the weight gradients of linear layers."""
    return backward_halves(backward(model, unit, cut))[1]


def recompute(model: ModelSpec, unit: Unit, cut: Cut, mode: str) -> tuple[Step, ...]:
    """What runs again before the unit's backward, by `MODES`: nothing, the attention core, cheap ops, its forward.

    Under full the layer is one checkpoint: the recompute of both its units comes before the backward of the second.
    """
    _check_mode(mode)
    if mode == "none" or unit.layer < 0:
        return ()
    style = STYLES[model.trunk.block]
    rerun = {"selective": style.core, "selective_op": style.cheap, "full": style.forward}[mode]
    steps = rerun(model.trunk, unit, cut)
    return tuple(step.as_recompute() if isinstance(step, Kernel) else step for step in steps)


def kept_bytes(model: ModelSpec, unit: Unit, cut: Cut, mode: str = "none") -> int:
    """Activation bytes that a rank keeps from this unit's forward to its backward, for one microbatch."""
    _check_mode(mode)
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].kept_bytes(model, cut)
    if mode == "full":  # the layer's input, once for the layer
        return boundary_bytes(model, cut) if unit.kind in ("attention", "hstu") else 0
    return STYLES[model.trunk.block].kept_bytes(model.trunk, unit, cut, mode)


def weight_bytes(model: ModelSpec, unit: Unit, cut: Cut) -> int:
    """Bytes that a rank keeps from this unit's I to its W, for one microbatch: each linear layer's input and the
    gradient of its output, as the products read them."""
    if unit.kind in OUTSIDE:
        return OUTSIDE[unit.kind].weight_bytes(model, cut)
    return STYLES[model.trunk.block].weight_bytes(model.trunk, unit, cut)


def transient_bytes(model: ModelSpec, unit: Unit, cut: Cut, mode: str) -> int:
    """Bytes that are alive only while this unit's recomputed activations are: one layer at a time (full), or unit."""
    return kept_bytes(model, unit, cut, "none") - kept_bytes(model, unit, cut, mode) if unit.layer >= 0 else 0


def working_bytes(model: ModelSpec, unit: Unit, cut: Cut) -> int:
    """Most bytes of activation gradients that are alive at once inside the unit's backward."""
    return working.working_bytes(model, unit, cut, gated=getattr(STYLES.get(model.trunk.block), "gated", False))


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


def num_parameters(model: ModelSpec) -> int:
    """Dense parameters of the whole model; sparse tables are counted by `model/tables.py`."""
    return sum(parameter.count for unit in units(model) for parameter in parameters(model, unit))


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
