"""Codecs: a vector as a payload of bytes, and back. What a quantized reduction sends (`quantized.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from simulator.model.work import Kernel
from simulator.policies.compressor import State, memory_kernel

if TYPE_CHECKING:
    import torch

SCALE_BYTES = 4
"""Scales travel in fp32."""


class Codec(Protocol):
    """One way to write n entries as bytes.

    encode, subtract, add: kernels that write `vectors` payloads of `count` entries each; that take what a payload says
    from the vector (which leaves the residual); that add payloads up or write them out. size: of an entry in memory.
    """

    name: ClassVar[str]

    def payload_bytes(self, count: int) -> int: ...

    def encode(self, count: int, size: int, vectors: int = 1) -> tuple[Kernel, ...]: ...

    def subtract(self, count: int, size: int, vectors: int = 1) -> Kernel: ...

    def add(self, count: int, size: int, vectors: int) -> Kernel: ...

    def write(self, vectors: torch.Tensor, state: State) -> torch.Tensor:
        """[v, n] entries -> uint8[v, payload_bytes(n)]."""

    def read(self, payloads: torch.Tensor, count: int, dtype: torch.dtype) -> torch.Tensor:
        """uint8[v, payload_bytes(n)] -> [v, n]."""


@dataclass(frozen=True, slots=True)
class Int8:
    """A byte an entry, and a scale for each block of entries: its largest magnitude becomes 127.

    Rounding is stochastic, up or down with the chances that make the mean exact (QSGD, arXiv 1610.02132). Payload: fp32
    scales of all blocks, then int8 entries.
    """

    block: int
    name: ClassVar[str] = "int8"

    def blocks(self, count: int) -> int:
        """Scales of `count` entries; the last block may be short."""
        return -(-count // self.block)

    def payload_bytes(self, count: int) -> int:
        return SCALE_BYTES * self.blocks(count) + count

    def encode(self, count: int, size: int, vectors: int = 1) -> tuple[Kernel, ...]:
        scales = vectors * SCALE_BYTES * self.blocks(count)
        return (
            memory_kernel("elementwise", vectors * count, size, scales),  # reads, writes the largest of each block
            memory_kernel("quantize", vectors * count, size + 1, scales),  # reads both, writes a byte
        )

    def subtract(self, count: int, size: int, vectors: int = 1) -> Kernel:
        scales = vectors * SCALE_BYTES * self.blocks(count)
        return memory_kernel("dequantize", vectors * count, 2 * size + 1, scales)

    def add(self, count: int, size: int, vectors: int) -> Kernel:
        """Reads a byte, reads and writes the sum."""
        return self.subtract(count, size, vectors)

    def write(self, vectors: torch.Tensor, state: State) -> torch.Tensor:
        import torch

        number, count = vectors.shape
        padded = torch.nn.functional.pad(vectors, (0, self.blocks(count) * self.block - count))
        cut = padded.view(number, -1, self.block)
        scales = (cut.abs().amax(dim=2) / 127).float()
        steps = cut / scales.to(cut.dtype).clamp(min=torch.finfo(torch.float32).tiny)[..., None]
        noise = torch.rand(steps.shape, generator=_noise(state, vectors), device=vectors.device)
        entries = (steps + noise).floor_().clamp_(-127, 127).to(torch.int8)
        entries = entries.view(number, -1)[:, :count].contiguous()
        return torch.cat([scales.view(torch.uint8), entries.view(torch.uint8)], dim=1)

    def read(self, payloads: torch.Tensor, count: int, dtype: torch.dtype) -> torch.Tensor:
        import torch

        number, scale_bytes = payloads.shape[0], SCALE_BYTES * self.blocks(count)
        scales = _scales(payloads, scale_bytes).to(dtype)
        entries = payloads[:, scale_bytes:].view(torch.int8).to(dtype)
        padded = torch.nn.functional.pad(entries, (0, self.blocks(count) * self.block - count))
        return (padded.view(number, -1, self.block) * scales[..., None]).view(number, -1)[:, :count]


@dataclass(frozen=True, slots=True)
class Sign:
    """A bit an entry, and one scale: the mean magnitude (Karimireddy et al., arXiv 1901.09847).

    Payload: the fp32 scale, then the bits, eight to a byte, the first entry in the lowest; 1 is not negative.
    """

    name: ClassVar[str] = "onebit"

    def payload_bytes(self, count: int) -> int:
        return SCALE_BYTES + -(-count // 8)

    def encode(self, count: int, size: int, vectors: int = 1) -> tuple[Kernel, ...]:
        payloads = vectors * self.payload_bytes(count)
        return (
            memory_kernel("elementwise", vectors * count, size),  # the mean magnitude reads
            memory_kernel("pack_signs", vectors * count, size, payloads),  # reads, writes the bits
        )

    def subtract(self, count: int, size: int, vectors: int = 1) -> Kernel:
        return memory_kernel("unpack_signs", vectors * count, 2 * size, vectors * self.payload_bytes(count))

    def add(self, count: int, size: int, vectors: int) -> Kernel:
        """Reads a bit, reads and writes the sum."""
        return self.subtract(count, size, vectors)

    def write(self, vectors: torch.Tensor, state: State) -> torch.Tensor:
        import torch

        number, count = vectors.shape
        scales = vectors.abs().mean(dim=1, keepdim=True).float()
        bits = torch.nn.functional.pad(vectors >= 0, (0, -count % 8)).view(number, -1, 8)
        weights = 2 ** torch.arange(8, dtype=torch.uint8, device=vectors.device)
        packed = (bits.to(torch.uint8) * weights).sum(dim=2, dtype=torch.uint8)
        return torch.cat([scales.view(torch.uint8), packed], dim=1)

    def read(self, payloads: torch.Tensor, count: int, dtype: torch.dtype) -> torch.Tensor:
        import torch

        scales = _scales(payloads, SCALE_BYTES).to(dtype)
        weights = 2 ** torch.arange(8, dtype=torch.uint8, device=payloads.device)
        bits = (payloads[:, SCALE_BYTES:, None] & weights).ne(0).view(payloads.shape[0], -1)[:, :count]
        return torch.where(bits, scales, -scales)


def _scales(payloads: torch.Tensor, num_bytes: int) -> torch.Tensor:
    """The fp32 numbers that payloads begin with; copied, since payloads need not lie on multiples of four bytes."""
    import torch

    return payloads[:, :num_bytes].reshape(-1).clone().view(torch.float32).view(payloads.shape[0], -1)


def _noise(state: State, like: torch.Tensor) -> torch.Generator:
    """The rank's own stream of rounding noise for this bucket."""
    import torch

    if "noise" not in state:
        state["noise"] = torch.Generator(like.device).manual_seed(like.numel() * 65_537 + state.get("rank", 0))
    return state["noise"]
