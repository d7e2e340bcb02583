"""The models in plain torch, written down once more from their papers: no shards, no seams, autograd throughout.

weights: by the names of `model/blocks`, whole. ids, labels: int64[samples, positions]; everything is [b, s, h] here.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def loss(model, weights, ids, labels, loss_weights, scored, tables, numbers=None) -> torch.Tensor:
    """The mean loss of a batch, weighted by position. numbers: float[samples, features] of a DLRM."""
    trunk, head = model.trunk, model.head
    x = dlrm(model, weights, ids, numbers, tables) if model.is_dlrm else embedded(model, weights, ids, tables)
    for layer in range(trunk.num_layers):
        x = hstu(trunk, weights, f"layer{layer}.hstu", x) if trunk.block == "hstu" else block(trunk, weights, layer, x)
    if "head.norm.weight" in weights:
        x = norm(weights, "head.norm", x)
    if "head.transform.weight" in weights:
        x = F.linear(x, weights["head.transform.weight"], weights["head.transform.bias"])
        x = norm(weights, "head.transform.norm", F.gelu(x))
    if "head.projection.weight" in weights:
        x = x @ weights["head.projection.weight"].T
    if head.kind in ("lm", "full_softmax"):
        logits = x @ weights.get("head.logits.weight", weights.get("embedding.tokens.weight")).T
        logits = logits + weights.get("head.logits.bias", 0)
        losses = -torch.log_softmax(logits, -1).gather(-1, labels[..., None])[..., 0]
    elif head.table is not None:
        scores = (x[:, :, None] * tables[head.table][scored]).sum(-1)
        if head.kind == "sampled_softmax":
            losses = -torch.log_softmax(scores, -1)[..., 0]
        else:
            losses = (-F.logsigmoid(scores[..., 0]) - F.logsigmoid(-scores[..., 1:]).sum(-1)) / scores.shape[-1]
    else:
        layers = [name for name in weights if name.startswith("head.mlp") and name.endswith("weight")]
        for place in range(len(layers)):
            x = F.linear(x, weights[f"head.mlp{place}.weight"], weights[f"head.mlp{place}.bias"])
            x = x.clamp(min=0) if place < len(layers) - 1 else x
        losses = -torch.where(labels[..., None] == 1, F.logsigmoid(x), F.logsigmoid(-x)).mean(-1)
    return (losses * loss_weights).sum() / loss_weights.sum()


def dlrm(model, weights, ids, numbers, tables) -> torch.Tensor:
    """[samples, 1, width]: what the top MLP reads, pair by pair and layer by layer."""
    dense, vectors = model.dense, []
    if dense.bottom:
        x = numbers
        for place in range(len(dense.bottom)):
            x = (x @ weights[f"bottom.mlp{place}.weight"].T + weights[f"bottom.mlp{place}.bias"]).clamp(min=0)
        vectors.append(x)
    vectors += [getattr(tables[table.name][ids[table.name]], table.pooling)(1) for table in model.tables]
    if dense.interaction == "dot":
        pairs = [(vectors[i] * vectors[j]).sum(1) for i in range(len(vectors)) for j in range(i)]
        out = torch.cat([*vectors[: len(dense.bottom[:1])], torch.stack(pairs, 1)], 1)
    else:
        out = first = torch.cat(vectors, 1)
        for layer in range(dense.cross_layers if dense.interaction == "dcn_v2" else 0):
            name = f"interaction.cross{layer}"
            low = out @ weights[f"{name}.v.weight"].T
            out = first * (low @ weights[f"{name}.w.weight"].T + weights[f"{name}.w.bias"]) + out
    return out[:, None]


def embedded(model, weights, ids, tables) -> torch.Tensor:
    total = 0
    for name, index in ids.items():
        table = tables[name] if name in tables else weights["embedding.tokens.weight"]
        vectors = table[index]
        pooling = model.table(name).pooling if name in tables else "none"
        if pooling != "none":  # [samples, lookups, dim]: one vector for each sample, at every position
            vectors = getattr(vectors, pooling)(1, keepdim=True)
        name = model.head.table if name == "tokens" else name  # a tied item table is the token embedding
        if f"embedding.{name}.weight" in weights:
            vectors = F.linear(vectors, weights[f"embedding.{name}.weight"], weights[f"embedding.{name}.bias"])
        if pooling == "none" and name in tables:  # the k-th at position k, or beginning anew behind the last one
            places, seq = torch.arange(vectors.shape[1]), model.trunk.seq
            vectors = vectors.new_zeros((len(vectors), seq, vectors.shape[2])).index_add(1, places % seq, vectors)
        total = total + vectors
    if "embedding.positions.weight" in weights:
        total = total + weights["embedding.positions.weight"]
    if "embedding.types.weight" in weights:
        total = norm(weights, "embedding.norm", total + weights["embedding.types.weight"][0])
    return total


def norm(weights, name, x) -> torch.Tensor:
    if f"{name}.bias" not in weights:
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weights[f"{name}.weight"]
    centred = x - x.mean(-1, keepdim=True)
    scale = torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def block(trunk, weights, layer, x) -> torch.Tensor:
    for unit, branch in ((f"layer{layer}.attention", attention), (f"layer{layer}.mlp", mlp)):
        if trunk.block == "bert":
            x = norm(weights, f"{unit}.norm", x + branch(trunk, weights, unit, x))
        else:
            x = x + branch(trunk, weights, unit, norm(weights, f"{unit}.norm", x))
    return x


def attention(trunk, weights, unit, x) -> torch.Tensor:
    qkv = x @ weights[f"{unit}.qkv.weight"].T + weights.get(f"{unit}.qkv.bias", 0)
    query, key, value = qkv.split([trunk.query_width, trunk.kv_width, trunk.kv_width], -1)
    query, key, value = (one + lora(weights, unit, name, x) for one, name in ((query, "q"), (key, "k"), (value, "v")))
    outs = []
    for head in range(trunk.heads):
        own = head * trunk.kv_heads // trunk.heads
        q = query[..., head * trunk.head_dim : (head + 1) * trunk.head_dim]
        k, v = (part[..., own * trunk.head_dim : (own + 1) * trunk.head_dim] for part in (key, value))
        if trunk.block == "llama":
            q, k = turned(q), turned(k)
        scores = q @ k.transpose(-1, -2) / math.sqrt(trunk.head_dim)
        if trunk.causal:
            scores = scores + torch.full(scores.shape[-2:], -1e300, dtype=scores.dtype).triu(1)
        outs.append(torch.softmax(scores, -1) @ v)
    out = torch.cat(outs, -1)
    out = out @ weights[f"{unit}.proj.weight"].T + lora(weights, unit, "o", out)
    return out + weights.get(f"{unit}.proj.bias", 0)


def lora(weights, unit, target, x) -> torch.Tensor | int:
    """alpha / rank = 2 times B A x (arXiv 2106.09685)."""
    if f"{unit}.{target}.lora_A.weight" not in weights:
        return 0
    return 2 * x @ (weights[f"{unit}.{target}.lora_B.weight"] @ weights[f"{unit}.{target}.lora_A.weight"]).T


def turned(x) -> torch.Tensor:
    """Rotary positions as complex numbers."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * 10000.0 ** (
        -torch.arange(half, dtype=torch.float64) / half
    )
    spun = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([spun.real, spun.imag], -1)


def mlp(trunk, weights, unit, x) -> torch.Tensor:
    inner = x @ weights[f"{unit}.fc1.weight"].T + weights.get(f"{unit}.fc1.bias", 0)
    if trunk.block == "llama":
        gate = inner[..., : trunk.ffn] + lora(weights, unit, "gate", x)
        inner = gate * torch.sigmoid(gate) * (inner[..., trunk.ffn :] + lora(weights, unit, "up", x))
    else:
        inner = inner + lora(weights, unit, "up", x)
        inner = inner.clamp(min=0) if trunk.block == "sasrec" else inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    out = inner @ weights[f"{unit}.fc2.weight"].T + lora(weights, unit, "down", inner)
    return out + weights.get(f"{unit}.fc2.bias", 0)


def hstu(trunk, weights, unit, x) -> torch.Tensor:
    normed = norm(weights, f"{unit}.norm", x)
    parts = normed @ weights[f"{unit}.uvqk.weight"].T + weights[f"{unit}.uvqk.bias"]
    thin = [lora(weights, unit, target, normed) for target in "uvqk"]
    parts = torch.cat([one + more for one, more in zip(parts.split(trunk.query_width, -1), thin, strict=True)], -1)
    gate, value, query, key = (parts * torch.sigmoid(parts)).split(trunk.query_width, -1)
    outs, seq = [], x.shape[1]
    for head in range(trunk.heads):
        own = slice(head * trunk.head_dim, (head + 1) * trunk.head_dim)
        scores = query[..., own] @ key[..., own].transpose(-1, -2) / math.sqrt(trunk.head_dim)
        scores = scores * torch.sigmoid(scores) / seq
        outs.append((scores.tril() if trunk.causal else scores) @ value[..., own])
    out = norm(weights, f"{unit}.output_norm", torch.cat(outs, -1)) * gate
    return x + out @ weights[f"{unit}.proj.weight"].T + lora(weights, unit, "o", out)
