"""What a packed dataset tells of its latents and text: who made them, and the latents' levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from humanverse.layers.store import Store
from humanverse.load.decode import LATENTS
from humanverse.pack.listing import Shard

LEVELS = ("latents_mean", "latents_std")


def encoded(store: Store, shards: Sequence[Shard]) -> dict[str, Any]:
    """`latents` with `of`, `samples`, and `mean` and `std` of each channel of each branch over all
    samples; `text` with `of`. What samples do not have is left out.
    """
    count, totals, of = 0, None, dict[str, str]()
    for shard in shards:
        with store.open(shard.parquet) as f:
            there = set(pq.read_schema(f).names)
        wanted = [name for name in ("latents_of", *LEVELS, "text_of") if name in there]
        table = store.read_table(shard.parquet, wanted) if wanted else pa.table({})
        for name in ("latents", "text"):
            found = table[f"{name}_of"].drop_null() if f"{name}_of" in wanted else []
            of |= {name: found[0].as_py()} if len(found) else {}
        if "latents_of" in wanted:
            mean, std = (np.array(table[name].to_pylist(), np.float64) for name in LEVELS)
            count += len(mean)
            # All have one size: a channel's square is the mean of its samples' squares.
            part = np.stack([mean.sum(0), (std**2 + mean**2).sum(0)])
            totals = part if totals is None else totals + part
    told: dict[str, Any] = {name: {"of": made} for name, made in of.items()}
    if totals is not None and count:
        mean, square = totals / count
        std = np.sqrt(np.maximum(square - mean**2, 0))
        levels = {"mean": mean, "std": std}
        named = {k: dict(zip(LATENTS, v.round(6).tolist(), strict=True)) for k, v in levels.items()}
        told["latents"] |= {"samples": count} | named
    return told
