"""Draws: integers from named streams, equal on every machine and in every Python."""

from __future__ import annotations

import hashlib

import numpy as np


def raw_integers(seed: int, purpose: str, name: str, sample: int, count: int) -> np.ndarray:
    """uint64[count] of the Philox stream that this key names."""
    key = hashlib.sha256(f"{seed}|{purpose}|{name}|{sample}".encode()).digest()[:16]
    return np.random.Philox(key=int.from_bytes(key, "little")).random_raw(count)
