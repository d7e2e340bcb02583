"""Colour, pattern and words of every kind of time and memory: one look in all charts, tables and traces.

Colours are Okabe and Ito's eight, which people with any common colour blindness tell apart (https://jfly.uni-koeln.de/color/).
Patterns part what colour alone would not, in print too. Shapes are plotly's: / \\ x - | + . or none.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator import kinds

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#9A9A9A", "#E3E3E3"


@dataclass(frozen=True, slots=True)
class Look:
    """words: what a reader sees. colour: fill. pattern: plotly's shape. meaning: one sentence for tables."""

    words: str
    colour: str
    pattern: str
    meaning: str


TIME: dict[str, Look] = {
    kinds.COMPUTE: Look("compute", BLUE, "", "the model's kernels, forward and backward"),
    kinds.RECOMPUTE: Look("recompute", SKY, "/", "forward kernels run again in the backward pass"),
    kinds.TENSOR: Look("tensor communication", ORANGE, "", "collectives of the tensor groups that nothing hides"),
    kinds.CONTEXT: Look("context communication", ORANGE, "x", "exchanges of sequence slices that nothing hides"),
    kinds.PIPELINE: Look("pipeline communication", YELLOW, "\\", "sends and receives that nothing hides"),
    kinds.DATA: Look("data communication", VERMILION, "", "gradients and parameters between replicas, not hidden"),
    kinds.EMBEDDING: Look("embedding communication", PURPLE, "", "exchanges of ids and vectors that nothing hides"),
    kinds.COMPRESSION: Look("compression", PURPLE, ".", "encoding and decoding gradients"),
    kinds.OPTIMIZER: Look("optimizer", GREEN, "-", "the update of parameters and tables"),
    "straggler_wait": Look("waiting for a member", BLACK, "/", "a collective is ready here, another rank is late"),
    "bubble": Look("bubble", PALE, "/", "nothing to do: the pipeline fills, drains or starves"),
    kinds.HOST: Look("other", GREY, "+", "host launches and copies"),
}
"""By the breakdown's labels (`kinds.BREAKDOWN`)."""

MEMORY: dict[str, Look] = {
    "parameters": Look("parameters", BLUE, "", "weights as stored for the forward pass"),
    "gradients": Look("gradients", VERMILION, "\\", "accumulated over the step's microbatches"),
    "optimizer": Look("optimizer state", GREEN, "-", "moments and the fp32 master copy"),
    "activations": Look("activations", ORANGE, "", "kept for the backward pass by microbatches in flight"),
    "embeddings": Look("embedding tables", PURPLE, ".", "rows and their optimizer state on the device"),
    "buffers": Look("buffers", GREY, "x", "communication buckets, workspaces, gathered parameters"),
}
"""By the keys of `memory_bytes.by_kind`."""

SOURCE: dict[str, Look] = {
    "measured": Look("measured", GREEN, "", "this shape was timed on this device"),
    "interpolated": Look("interpolated", SKY, "/", "between timed shapes"),
    "published": Look("published", BLUE, "", "this shape was timed by others and published"),
    "extrapolated": Look("extrapolated", ORANGE, "\\", "outside what was timed"),
    "datasheet": Look("datasheet", VERMILION, "x", "from peak rates only; nothing was timed"),
}
"""By the keys of `provenance`, from most to least trusted (`costs.price.SOURCES` says what each means)."""


def time_look(kind: str) -> Look:
    """The look of a breakdown label; an unknown one is shown under its own name in grey."""
    return TIME.get(kind) or Look(kind.replace("_", " "), GREY, "", "")


def memory_look(kind: str) -> Look:
    """The look of a kind of memory; an unknown one is shown under its own name in grey."""
    return MEMORY.get(kind) or Look(kind.replace("_", " "), GREY, "", "")
