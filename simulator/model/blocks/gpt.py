"""GPT as Megatron-LM trains it (arXiv 1909.08053, 2104.04473): LayerNorm, biases, GELU, dropout, learned positions."""

from simulator.model.blocks.transformer import Style

STYLE = Style(dropout=True, bias=True, rotary=False, gated=False, norm_parameters=2, norm_backward=None)
