"""SASRec (arXiv 1808.09781): a small causal transformer over a user's items; ReLU MLP of width h, dropout, LayerNorm.

Queries come from the normed input, keys and values from the input itself; one GEMM of the three is priced for all (same
FLOPs). The output projection follows torch.nn.MultiheadAttention, as the PyTorch ports of the authors' code do. Dropout
inside the MLP, after the ReLU, is left out: it is fused with it. Samples are packed: padding does no work.
"""

from simulator.model.blocks.transformer import Style

STYLE = Style(dropout=True, bias=True, rotary=False, gated=False, norm_parameters=2, norm_backward=5, relu=True)
