"""What torch.compile makes of a layer (`software.compile`): fewer passes over memory, the same products.

Inductor joins neighbours that read what the other wrote, and never fuses into a product of the library's. One layer is
one graph, as torchtitan compiles it (parallelisms/parallelize_llama.py of December 2024, `apply_compile`: each
TransformerBlock by itself; train.py leaves the loss out). So

- a norm behind a residual of its layer reads nothing more: the sum is written once, and normed in the same kernel;
- a norm's backward adds the residual path's gradient while it writes its own, and sums its weights' gradients in a
  second kernel, which runs along the other dimension;
- norms and gates that software writes out in small operators are one kernel each, forward and backward, and keep no
  intermediate result;
- rotary positions written as complex products stay as they are: Inductor generates no code for complex numbers and says
  so (torch/_inductor/lowering.py, `_warn_complex_not_supported`).

Not modelled: that recomputation shares a kernel with the backward it feeds. Nothing outside a trunk's layers is
compiled. A stack's own norm kernels (apex) are replaced by the compiled one.
"""

from __future__ import annotations

from simulator.model.blocks.cut import Cut
from simulator.model.blocks.kernels import memory_bound
from simulator.model.work import Step


def norm_backward(elements: int, cut: Cut, *, trained: bool, adds: bool) -> tuple[Step, ...]:
    """Reads dY and X (and another gradient), writes dX; where weights are trained, reads dY and X for them again."""
    steps = (memory_bound("layernorm", elements, (4 if adds else 3) * cut.bytes, cut),)
    return (*steps, memory_bound("layernorm", elements, 2 * cut.bytes, cut)) if trained else steps
