"""BERT (arXiv 1810.04805; as a recommender BERT4Rec, arXiv 1904.06690): GPT's layer, seen from both sides.

The norm stands behind each residual instead of before each unit: the same kernels and the same kept tensors, listed
here in the order of GPT. A norm follows the embeddings; none comes before the head, which has a transform of its own.
"""

from simulator.model.blocks.transformer import Style

STYLE = Style(dropout=True, bias=True, rotary=False, gated=False, norm_parameters=2, norm_backward=5,
              norm_behind=True)  # fmt: skip
