"""Sentences: what was asked, what came out, in the words that one engineer would use to another."""

from __future__ import annotations

from pathlib import PurePath

from simulator.model import blocks
from simulator.report import format
from simulator.report.breakdown import parts
from simulator.report.plan_words import batch_words, faults_words, lengths_words, plan_words, steps_words
from simulator.units import NS_PER_S

COMPUTE_LIKE = ("compute",)


def answer(numbers: dict, samples: int = 0) -> str:
    """The result in one sentence: step time with its interval, rates, MFU."""
    step = format.duration(numbers["step_time_s"])
    if samples > 0:
        low, high = (format.duration(numbers[key]) for key in ("step_time_s_p5", "step_time_s_p95"))
        step += f" (90 % interval {low} to {high}, {samples} samples)"
    sentence = f"One training step takes {step}: {format.rate(numbers['samples_per_s'], 'samples/s')}"
    if numbers.get("tokens_per_s"):
        sentence += f", {format.rate(numbers['tokens_per_s'], 'tokens/s')}"
    if numbers.get("mfu") is not None:
        return sentence + f", {format.percent(numbers['mfu'])} of the devices' peak (MFU)."
    return sentence + "; MFU is unknown, because no peak rate is known for the device."


def num_samples(result) -> int:
    """Samples behind the interval; 0 for a result at the profile's medians, whose one entry says nothing of spread."""
    return len(result.samples_ns) if len(result.samples_ns) > 1 else 0


def fit(numbers: dict) -> str:
    """Whether it fits, with the numbers; the reason where it does not."""
    memory = numbers["memory_bytes"]
    peak, limit = format.bytes_text(memory["peak_max"]), format.bytes_text(memory["limit"])
    if numbers["feasible"]:
        return f"It fits: the fullest rank peaks at {peak} of {limit}."
    return f"It does not fit: {numbers['reason'] or f'the fullest rank needs {peak}, the limit is {limit}'}."


def largest_loss(numbers: dict) -> str:
    """What besides the model's own compute costs most, or that nothing does."""
    found = parts(numbers["breakdown_s"])
    own = sum(part.share for part in found if part.kind in COMPUTE_LIKE)
    others = sorted(
        (part for part in found if part.kind not in COMPUTE_LIKE and part.seconds > 0),
        key=lambda part: -part.seconds,
    )
    if not others:
        return "Nothing but compute shows in the step."
    listed = [
        f"{part.look.words} {format.percent(part.share)} ({format.duration(part.seconds)})" for part in others[:3]
    ]
    return f"Compute is {format.percent(own)} of the step; next come {joined(listed)}."


def joined(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def sentence(text: str) -> str:
    """The text with a full stop."""
    return text if text.endswith((".", "!", "?")) else text + "."


def asked(scenario) -> tuple[tuple[str, str], ...]:
    """(term, words) rows that say what was simulated."""
    rows = (
        ("Model", model_words(scenario.model)),
        ("Cluster", cluster_words(scenario.cluster)),
        ("Plan", plan_words(scenario.plan)),
        ("Batch", batch_words(scenario.plan)),
        ("Lengths", lengths_words(scenario.data.lengths, scenario.model.trunk)),
        ("Slow ranks", faults_words(scenario)),
        ("Steps", steps_words(scenario)),
        ("Numbers", numbers_words(scenario)),
        ("Costs", costs_words(scenario)),
    )
    return tuple((term, words) for term, words in rows if words)


def moved(moves) -> tuple[tuple[str, str], ...]:
    """A (term, words) row of the layers that changed their stage; none where none did."""
    told = [
        f"ahead of step {move.step}: layers {list(move.before)} to {list(move.after)}, "
        f"{format.bytes_text(move.size_bytes)} in {format.duration(move.ns / NS_PER_S)}"
        for move in moves
    ]
    return (("Moves", "; ".join(told)),) if told else ()


def model_size(model) -> str:
    """A model in a few words: 42.8 million dense parameters (8 hstu layers)."""
    trunk = model.trunk
    count = format.parameters(blocks.num_parameters(model))
    return f"{count} dense parameters" + (f" ({trunk.num_layers} {trunk.block} layers)" if trunk.num_layers else "")


def model_words(model) -> str:
    """Trunk, tables and head, with their parameters."""
    trunk = model.trunk
    words = []
    if trunk.num_layers:
        shape = f"{format.parameters(blocks.num_parameters(model))} dense parameters: {trunk.num_layers} "
        shape += f"{trunk.block} layers"
        if trunk.hidden:
            shape += f", hidden {trunk.hidden:,}, {trunk.heads} heads, sequence {trunk.seq:,}"
        if trunk.vocab:
            shape += f", vocabulary {trunk.vocab:,}"
        words.append(shape)
    if model.tables:
        rows = sum(table.rows for table in model.tables)
        widths = sorted({table.dim for table in model.tables})
        dims = str(widths[0]) if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
        many = len(model.tables)
        together = " in all" if many > 1 else ""
        words.append(f"{many} embedding table{'s' * (many > 1)} of {format.parameters(rows)} rows{together} of {dims}")
    if model.dense is not None:
        stacks = (("bottom", model.dense.bottom), ("top", model.dense.top))
        words += [f"{name} MLP {'-'.join(map(str, widths))}" for name, widths in stacks if widths]
    if model.head is not None:
        words.append(f"head: {model.head.kind.replace('_', ' ')}")
    if model.adapter is not None:
        trained = format.parameters(blocks.num_parameters(model, trained=True))
        words.append(f"LoRA of rank {model.adapter.rank} on {', '.join(model.adapter.targets)}: {trained} trained")
    return "; ".join(words)


def cluster_words(cluster) -> str:
    """Devices, nodes, links inside and between."""
    groups = []
    for node, count in cluster.groups:
        text = f"{count} node{'s' * (count > 1)} of {node.gpus} {node.device.name}"
        if node.gpus > 1:
            text += f", {node.fabric.kind} {node.fabric.gpu_bytes_per_s / 1e9:,.0f} GB/s a device each way"
        if node.fabric.sockets > 1:
            bridge = node.fabric.bridge_bytes_per_s / 1e9
            text += f", {node.fabric.sockets} sockets joined at {bridge:,.0f} GB/s each way"
        if cluster.nodes > 1 and node.nics:
            text += f", {node.nics} NIC{'s' * (node.nics > 1)} of {node.nic_bytes_per_s * 8 / 1e9:,.0f} Gb/s a node"
        groups.append(text)
    name = f"{cluster.name}: " if cluster.name else ""
    words = [f"{name}{cluster.gpus} devices, " + "; ".join(groups), *fabric_words(cluster)]
    if cluster.links:
        words.append(f"{len(cluster.links)} slow link{'s' * (len(cluster.links) > 1)}")
    return "; ".join(words)


def fabric_words(cluster) -> tuple[str, ...]:
    """What is above the nodes, where it limits anything."""
    fabric = cluster.fabric
    if not fabric.has_leaves:
        return ()
    below = f"{fabric.nodes_per_leaf} node{'s' * (fabric.nodes_per_leaf > 1)}"
    unit = "a leaf" if fabric.kind == "fat_tree" else "a pod of rails"
    above = f" with {fabric.spines} spine{'s' * (fabric.spines > 1)}" if fabric.spines else ""
    return (f"{fabric.kind.replace('_', ' ')}: {below} {unit}, {fabric.oversubscription:g}:1 above{above}",)


def cluster_size(cluster) -> str:
    """A cluster in a few words: 64 h100_sxm5_80gb, 3,200 Gb/s a node."""
    counts: dict[str, int] = {}
    for node, count in cluster.groups:
        counts[node.device.name] = counts.get(node.device.name, 0) + node.gpus * count
    text = " and ".join(f"{count:,} {name}" for name, count in counts.items())
    if cluster.nodes > 1 and all(node.nics for node, _ in cluster.groups):
        text += f", {min(node.node_bytes_per_s for node, _ in cluster.groups) * 8 / 1e9:,.0f} Gb/s a node"
    return text


def numbers_words(scenario) -> str:
    """Precision and optimizer."""
    return f"{scenario.dtype}, {scenario.optimizer}"


def costs_words(scenario) -> str:
    """The profiles that price the devices; a file's profile by its name, not by where it lies."""
    words = []
    for device in dict.fromkeys(node.device for node, _ in scenario.cluster.groups):
        name = scenario.profile_of(device.name) or device.profile
        words.append(f"profile {PurePath(name).name}" if name else f"datasheet of {device.name}")
    return ", ".join(dict.fromkeys(words))
