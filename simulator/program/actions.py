"""Action: one thing a rank does, small enough to be written on one line and read back.

    1F3                             forward of stage 1, microbatch 3 (1B3: its backward)
    1B3.2                           segment 2 of that backward: the piece up to a gradient bucket's boundary
    1I3, 1W3                        the backward in halves: input gradients, weight gradients
    recv 1F3 <p0 4MiB               the input of 1F3 arrives from pipeline rank 0 (recv 1B3: that of 1B3 or 1I3)
    send 0F3 >p1 4MiB               the output of 0F3 leaves for pipeline rank 1
    reduce b7 25MiB topk            gradient bucket 7 is reduced, compressed by top-k
    encode b7 topk, decode b7 topk  what the compressor does on the compute stream before and after
    reduce b7.1 4KiB powersgd       the second collective of a two-phase compressor
    reduce_scatter b7 25MiB none    the same bucket under ZeRO; all_gather b7 12MiB none brings parameters back
    reduce_scatter b7 B3 25MiB none ... behind the backward pass of microbatch 3; all_gather b7 F3: ahead of its forward
    encode b7 B3 int8, decode ...   a compressor's part of such a reduction, which sends by the method's own collective
    exchange ids 0F3 1MiB           embedding tables: ids to their owners, vectors (or gradients) back
    gather vectors 0F3 8MiB         ... and the vectors of all positions to every tensor rank
    gather context vectors 0F3 8MiB ... those of bags to every context rank; scatter context gradients 0B3 and scatter
                                    gradients 0B3: the way back, over context and over tensor ranks
    reduce vectors 0F3 8MiB         partial sums of pooled rows are added, each rank gets its samples'; gather gradients
    reduce node vectors 0F3 4MiB    ... inside a node, and exchange node vectors to other nodes; gather, exchange node
                                    gradients on the way back
    lookup 0F3, lookup 0B3          rows are read; their gradients are accumulated
    deduplicate 0F3, repeat 0F3     ids are made distinct before they are sent, and their vectors repeated
    deduplicate 0B3                 gradients of equal ids are summed before they are sent
    gather lengths 4KiB             every replica tells how long its samples are
    shuffle samples 2MiB            ... and each gets those that the length balancer gives it
    optimizer, table_optimizer      the dense and the sparse update
    optimizer b7                    the update of bucket 7 alone

Any action may end in ` after X, Y`: names of actions of the same rank, on other streams, that must be over first.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from simulator.units import format_bytes, parse_bytes

COMPUTE_VERBS = ("F", "B", "I", "W")
STAGE_VERBS = ("recv", "send", "exchange ids", "exchange vectors", "exchange gradients", "gather vectors",
               "reduce vectors", "gather gradients", "reduce node vectors", "exchange node vectors",
               "exchange node gradients", "gather node gradients", "gather context vectors",
               "scatter context gradients", "scatter gradients", "lookup", "deduplicate", "repeat")  # fmt: skip
BUCKET_VERBS = ("reduce", "reduce_scatter", "all_gather", "encode", "decode", "optimizer")
STEP_VERBS = ("optimizer", "table_optimizer")
SHUFFLE_VERBS = ("gather lengths", "shuffle samples")

_COMPUTE = re.compile(r"(?P<stage>\d+)(?P<verb>[FBIW])(?P<microbatch>\d+)(?:\.(?P<segment>\d+))?$")
_STAGED = re.compile(
    rf"(?P<verb>{'|'.join(STAGE_VERBS)}) (?P<stage>\d+)(?P<of>[FB])(?P<microbatch>\d+)"
    r"(?: [<>]p(?P<peer>\d+))?(?: (?P<size>\d+[KMG]?i?B))?$"
)
_BUCKET = re.compile(
    rf"(?P<verb>{'|'.join(sorted(BUCKET_VERBS, key=len, reverse=True))}) (?P<bucket>b\d+|tied|tables)"
    r"(?:\.(?P<phase>\d+))?(?: (?P<of>[FB])(?P<microbatch>\d+))?"
    r"(?: (?P<size>\d+[KMG]?i?B))?(?: (?P<method>[a-z]\w*))?$"
)
_SHUFFLE = re.compile(rf"(?P<verb>{'|'.join(SHUFFLE_VERBS)})(?: (?P<size>\d+[KMG]?i?B))?$")


class Action(NamedTuple):
    """A tuple, because a large program has a hundred thousand of them and tuples are quick to make.

    verb: one of the verbs above. stage, microbatch: of a compute action, or of the one it serves (`of`: F or B); of a
        bucket's collective that serves one microbatch, its pass and number.

    segment: which piece of a cut F, B or W. bucket: "b7", "tied" or "tables"; phase: which collective of a compressor
        that needs several.
    size_bytes: the message, as `model.work.Collective` counts it; of a compressed reduction, what one rank puts on the
        wire. peer: a pipeline rank. method: the compressor.
    after: names of actions of this rank, on other streams, that must be over first.
    """

    verb: str
    stage: int | None = None
    microbatch: int | None = None
    segment: int | None = None
    of: str | None = None
    bucket: str | None = None
    phase: int = 0
    size_bytes: int | None = None
    peer: int | None = None
    method: str | None = None
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What other actions call it: unique within its rank and step."""
        if self.verb in COMPUTE_VERBS:
            tail = "" if self.segment is None else f".{self.segment}"
            return f"{self.stage}{self.verb}{self.microbatch}{tail}"
        if self.bucket is not None:
            phase = f".{self.phase}" if self.phase else ""
            return f"{self.verb} {self.bucket}{phase}" + (f" {self.of}{self.microbatch}" if self.of else "")
        if self.of is not None:
            return f"{self.verb} {self.stage}{self.of}{self.microbatch}"
        return self.verb

    @property
    def words(self) -> str:
        """The line without what it waits for."""
        words = [self.name]
        if self.peer is not None:
            words.append(f"{'<' if self.verb == 'recv' else '>'}p{self.peer}")
        if self.size_bytes is not None:
            words.append(format_bytes(self.size_bytes))
        if self.method is not None:
            words.append(self.method)
        return " ".join(words)

    @property
    def text(self) -> str:
        """One line that `from_text` reads back."""
        return f"{self.words} after {', '.join(self.after)}" if self.after else self.words

    def __str__(self) -> str:
        return self.text

    def waiting_for(self, *names: str) -> Action:
        """The same action, which also waits for these."""
        return Action(*self[:-1], self.after + names)

    @classmethod
    def from_text(cls, text: str) -> Action:
        """The action that a line describes. Raises ValueError with the grammar's examples for any other text."""
        head, _, tail = text.partition(" after ")
        after = tuple(name.strip() for name in tail.split(",")) if tail else ()
        if head in STEP_VERBS:
            return cls(head, after=after)
        for pattern in (_COMPUTE, _STAGED, _BUCKET, _SHUFFLE):
            if match := pattern.match(head):
                found = match.groupdict()
                integers = {
                    key: int(found[key])
                    for key in ("stage", "microbatch", "segment", "peer", "phase")
                    if found.get(key) is not None
                }
                words = {key: found[key] for key in ("of", "bucket", "method") if found.get(key) is not None}
                size = parse_bytes(found["size"]) if found.get("size") else None
                return cls(found["verb"], size_bytes=size, after=after, **integers, **words)
        raise ValueError(f"{text!r} is not an action such as '1F3', 'recv 1F3 <p0 4MiB' or 'reduce b7 25MiB topk'")
