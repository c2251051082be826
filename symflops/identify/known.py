"""Values of a size that are well known: those of the models here, and a table of vocabularies with their sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from symflops.architectures.presets import presets
from symflops.errors import UnknownName
from symflops.identify.polynomials import Ranges

_FIELDS = {"n_vocab": ("vocab_size",), "n_ctx": ("n_positions", "max_position_embeddings")}
_STEPS: Mapping[str, range] = {
    "n_layer": range(1, 161), "n_head": range(1, 161), "n_kv_head": range(1, 161), "d_head": range(8, 513, 8),
    "d_ff": range(256, 65537, 256), "d_model": range(64, 20481, 64), "n_seq": range(128, 32769, 128),
}  # fmt: skip
"""Values that are tried of a size where two are asked for, beside the one that is solved for."""
_MOST_NAMES = 3


@cache
def values(size: str) -> Mapping[int, str]:
    """Well-known values of a size, and whose they are.

    >>> values("n_vocab")[40478].partition(":")[0], values("n_vocab")[50257].partition(",")[0]
    ('GPT (Radford et al. 2018)', 'gpt2')
    """
    found: dict[int, str] = {}
    for value, names in _of_models(size).items():
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        found[value] = ", ".join(names[:_MOST_NAMES]) + more
    table = json.loads(Path(__file__).with_name("known.json").read_text(encoding="utf-8"))
    found.update({each["value"]: each["whose"] for each in table if each["size"] == size})
    return dict(sorted(found.items()))


def _of_models(size: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, entry in presets().items():
        config: Mapping[str, Any] = entry["config"]
        for field in _FIELDS.get(size, ()):
            if isinstance(config.get(field), int):
                found.setdefault(config[field], []).append(name)
    return found


def well_known(size: str, ranges: Ranges) -> tuple[tuple[int, str], ...]:
    """The well-known values of a size within some ranges; none where every value would do.

    >>> well_known("n_vocab", ((40000, 40500),))[0][0]
    40478
    """
    if any(last is None for _, last in ranges):
        return ()
    return tuple(
        (value, whose)
        for value, whose in values(size).items()
        if any(first <= value <= (last or value) for first, last in ranges)
    )


def steps(size: str) -> tuple[int, ...]:
    """The values of a size that are tried one by one, where another is solved for.

    Raises `UnknownName` for a size that has none.
    """
    if size in _STEPS:
        return tuple(_STEPS[size])
    if not values(size):
        raise UnknownName("size to step through", size, (*_STEPS, *_FIELDS))
    return tuple(values(size))
