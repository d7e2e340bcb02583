"""Knobs of `model.adapter`."""

from __future__ import annotations

from knobs import Knob, inside, memory, model_flops, sent, step, time_of, timeline

LORA = "model.adapter={kind: lora, rank: 8, targets: [q, v]}"
NONE, QV = "null", "{kind: lora, rank: 8, targets: [q, v]}"
SHARDED = "plan.tensor=1; plan.data=8; plan.zero=3"
WHOLE = "plan.tensor=1; plan.data=8"

ADAPTERS = [
    # frozen weights have no gradients, states or reduction, and their gradients' products are not run
    Knob("gpt", "model.adapter", QV, NONE, memory("gradients"), "<"),
    Knob("gpt", "model.adapter", QV, NONE, memory("optimizer"), "<"),
    Knob("gpt", "model.adapter", QV, NONE, memory("activations"), "<"),
    Knob("gpt", "model.adapter", QV, NONE, memory("parameters"), ">"),
    Knob("gpt", "model.adapter", QV, NONE, sent("reduce"), "<"),
    Knob("gpt", "model.adapter", QV, NONE, time_of("compute"), "<"),
    Knob("gpt", "model.adapter", QV, NONE, time_of("optimizer"), "<"),
    Knob("gpt", "model.adapter", QV, NONE, model_flops, ">"),
    Knob("gpt", "model.adapter", QV, NONE, step, "<"),
    # what is frozen is gathered all the same
    Knob("gpt", "model.adapter", QV, NONE, sent("reduce_scatter"), "<", SHARDED),
    Knob("gpt", "model.adapter", "{kind: lora, rank: 8, targets: [q]}", QV, sent("all_gather"), "<", SHARDED),
    Knob("hstu", "model.adapter", QV, NONE, sent("exchange gradients"), "="),  # tables are trained beside it
    Knob("hstu", "model.adapter", QV, NONE, memory("embeddings"), "="),
    Knob("llama", "model.adapter", QV, NONE, sent("send"), "="),
    Knob("gpt", "model.adapter.kind", "lora", "-", timeline, "=", LORA),
    Knob("gpt", "model.adapter.rank", "64", "8", memory("gradients"), ">", LORA),
    Knob("gpt", "model.adapter.rank", "64", "8", memory("activations"), ">", LORA),
    Knob("gpt", "model.adapter.rank", "64", "8", sent("reduce"), ">", LORA),
    Knob("gpt", "model.adapter.rank", "64", "8", inside("tensor"), ">", LORA),
    Knob("gpt", "model.adapter.rank", "64", "8", model_flops, ">", LORA),
    Knob("gpt", "model.adapter.rank", "64", "8", step, ">", LORA),
    Knob("gpt", "model.adapter.targets", "[q, k, v, o]", "[q, v]", memory("gradients"), ">", LORA),
    Knob("gpt", "model.adapter.targets", "[q, k, v, o]", "[q, v]", sent("reduce"), ">", LORA),
    Knob("gpt", "model.adapter.targets", "[q, k, v, o]", "[q, v]", inside("tensor"), ">", LORA),
    Knob("gpt", "model.adapter.targets", "[q, k, v, o]", "[q, v]", step, ">", LORA),
    # the same numbers, whole beside a row-parallel matrix where they are sharded beside a column-parallel one
    Knob("gpt", "model.adapter.targets", "[o]", "[q]", sent("reduce"), "=", LORA),
    # what an adapter reads is kept for it: the activation is four times as wide as the attention
    Knob("gpt", "model.adapter.targets", "[q, down]", "[q, o]", memory("activations"), ">", LORA),
    # below the lowest adapter nothing is run backward: the first layer's attention
    Knob("gpt", "model.adapter.targets", "[up]", "[k, up]", time_of("compute"), "<", LORA + "; " + WHOLE),
]  # fmt: skip
