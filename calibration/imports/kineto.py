"""A trace of a user's own run, as torch.profiler exports it: kernels by shape, NCCL's collectives by size.

Shapes stand in a trace that was taken with record_shapes=True. A kernel is known by the operator that launched it (its
External id); kernels of one call count together. A trace without device kernels is a CPU's: there the operators' own
times are taken. Collectives carry the fields of record_param_comms.

A rank's trace shows a collective from the moment that this rank came, so what it waited for others is in it. The
shortest tenth of the calls is taken: those in which this rank came last.
"""

from __future__ import annotations

import ast
import gzip
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator

from calibration.imports import torch_ops
from calibration.imports.entries import Entries, refusal

NS_PER_US = 1000.0
NOT_WAITING = 0.1
"""Share of a collective's calls that this rank is taken to have joined last."""

COLLECTIVES = {
    "allreduce": ("all_reduce", "In"), "_allgather_base": ("all_gather", "Out"), "allgather": ("all_gather", "Out"),
    "_reduce_scatter_base": ("reduce_scatter", "In"), "reduce_scatter": ("reduce_scatter", "In"),
    "all_to_all": ("all_to_all", "In"), "all_to_allv": ("all_to_all", "In"), "broadcast": ("broadcast", "In"),
}  # fmt: skip
"""record_param_comms' name -> (ours, the side whose elements are the whole tensor)."""

ELEMENT_BYTES = {"Float": 4, "BFloat16": 2, "Half": 2, "Double": 8, "Long": 8, "Int": 4, "Byte": 1, "Bool": 1}


def decoded(path: str, data: bytes) -> str:
    """The text of a trace, packed or not. Raises ScenarioError for a damaged one."""
    try:
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise refusal(path, None, f"cannot be unpacked ({error}); export the trace again") from None


def read(path: str, text: str) -> Entries:
    """The kernels and collectives of a trace. Raises ScenarioError for one that holds none, or no shapes."""
    try:
        record = json.loads(text)
        events = [event for event in record["traceEvents"] if event.get("ph") == "X"]
        devices = record.get("deviceProperties", [])
    except json.JSONDecodeError as error:
        raise refusal(path, error.lineno, f"{error.msg}; the trace is cut short, export it again") from None
    except (KeyError, TypeError, AttributeError):
        raise refusal(path, None, "is not a trace of torch.profiler: it has no traceEvents") from None
    entries = Entries(device=str(devices[0].get("name", "")) if devices else "")
    kernels = [event for event in events if event.get("cat") == "kernel"]
    operators = [event for event in events if event.get("cat") == "cpu_op"]
    if not any("Input Dims" in _fields(event) for event in operators):
        raise refusal(path, None, "holds no shapes; profile with record_shapes=True and export again")
    calls = _on_device(kernels, operators) if kernels else _on_host(operators)
    untold: Counter[str] = Counter()
    for event, ns in calls:
        _add_call(entries, event, ns, untold)
    if untold:
        most = ", ".join(name for name, _ in untold.most_common(4))
        entries.left_out.append(f"{untold.total()} calls tell no shape of a kernel (most: {most})")
    _add_collectives(entries, kernels, len(devices))
    if not entries:
        raise refusal(path, None, f"holds no kernel of a known operator; {'; '.join(entries.left_out)}")
    return entries


def _fields(event: dict) -> dict:
    return event.get("args", {})


def _on_device(kernels: list[dict], operators: list[dict]) -> Iterator[tuple[dict, float]]:
    """Each operator's call that launched kernels, and their ns together."""
    spent: dict[int, float] = defaultdict(float)
    for kernel in kernels:
        if "Collective name" not in _fields(kernel) and "External id" in _fields(kernel):
            spent[_fields(kernel)["External id"]] += NS_PER_US * kernel["dur"]
    for event in operators:
        if (ns := spent.get(_fields(event).get("External id"), 0.0)) > 0:
            yield event, ns


def _on_host(operators: list[dict]) -> Iterator[tuple[dict, float]]:
    """Each outermost call of a known operator, and its own ns."""
    over: dict[object, float] = {}
    for event in sorted(operators, key=lambda one: (one["ts"], -one["dur"])):
        if torch_ops.is_known(event["name"]) and event["ts"] >= over.get(event.get("tid"), 0.0):
            over[event.get("tid")] = event["ts"] + event["dur"]
            yield event, NS_PER_US * event["dur"]


def _add_call(entries: Entries, event: dict, ns: float, untold: Counter) -> None:
    name, fields = event["name"], _fields(event)
    types = fields.get("Input type", [])
    place = torch_ops.typed_by(name)
    dtype = torch_ops.DTYPES.get(types[place]) if len(types) > place else None
    told = dtype and torch_ops.kernel_of(name, fields.get("Input Dims", ()), dtype, fields.get("Concrete Inputs", ()))
    if told and ns > 0:
        entries.add_kernel(told[0], dtype, told[1], ns)
    else:
        untold[name] += 1


def _add_collectives(entries: Entries, kernels: list[dict], gpus_per_node: int) -> None:
    """gpus_per_node: of the machine that wrote the trace, as its driver lists them; ranks fill nodes in order."""
    seen: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    unknown: Counter[str] = Counter()
    for event in kernels:
        fields = _fields(event)
        if (name := fields.get("Collective name")) is None:
            continue
        reason = _why_not(fields, name, gpus_per_node)
        if reason:
            unknown[reason] += 1
            continue
        op, side = COLLECTIVES[name]
        size = int(fields[f"{side} msg nelems"]) * ELEMENT_BYTES[fields["dtype"]]
        seen[op, int(fields["Group size"]), size].append(NS_PER_US * event["dur"])
    entries.left_out += [f"{count} collectives: {reason}" for reason, count in unknown.most_common()]
    for (op, ranks, size), times in seen.items():
        for ns in sorted(times)[: max(1, math.floor(NOT_WAITING * len(times)))]:
            if size > 0 and ns > 0:
                entries.add_collective(op, ranks, size, ns)


def _why_not(fields: dict, name: str, gpus_per_node: int) -> str:
    """Why a collective cannot be imported; empty where it can."""
    if name not in COLLECTIVES:
        return f"{name} is not priced by size"
    if not {"In msg nelems", "Out msg nelems", "Group size"} <= set(fields) or fields.get("dtype") not in ELEMENT_BYTES:
        return "their sizes were not recorded"
    if len(set(_numbers(fields.get("In split size")))) > 1:
        return "uneven pieces"
    if int(fields["Group size"]) < 2:
        return "a group of one"
    ranks = _numbers(fields.get("Process Group Ranks"))
    if not ranks or not gpus_per_node:
        return "the trace does not say which nodes their ranks are on"
    if len({rank // gpus_per_node for rank in ranks}) > 1:
        return "their groups span nodes"
    return ""


def _numbers(value: object) -> list[int]:
    """A list that the profiler wrote as text; empty where it was shortened or is none."""
    try:
        found = ast.literal_eval(value) if isinstance(value, str) else value
        return [int(one) for one in found]
    except (SyntaxError, TypeError, ValueError):
        return []
