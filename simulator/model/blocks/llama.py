"""LLaMA (arXiv 2302.13971, 2407.21783): RMSNorm, rotary positions, grouped-query attention, SwiGLU; no bias or dropout.

The norm's backward is one fused kernel (Transformer Engine), unlike the 2021 stack's two.
"""

from simulator.model.blocks.transformer import Style

STYLE = Style(dropout=False, bias=False, rotary=True, gated=True, norm_parameters=1, norm_backward=3)
