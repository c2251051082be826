"""Small models of every family, each size chosen by whoever draws: at random, to shrink, or one after the other.

>>> smallest = sized("llama", lambda name, values: values[0])
>>> smallest.sizes["n_layer"], smallest.sizes["d_model"], smallest.sizes["n_vocab"]
(1, 2, 1)
>>> probe("mixtral", 0).sizes["n_expert"] > 1
True
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import lcm
from random import Random
from types import MappingProxyType
from typing import Any

from symflops.architectures import FAMILIES, Architecture, architecture
from symflops.architectures.fields import completed, overridden
from symflops.errors import SymflopsError
from symflops.laws.cost import Case

Choose = Callable[[str, Sequence[Any]], Any]
"""Takes a value for a name from some, the simplest first."""
Sizes = Mapping[str, int]

VALUES: Mapping[str, Sequence[int]] = MappingProxyType(
    {
        "n_layer": (1, 2, 3), "n_vocab": (1, 2, 3, 5, 8, 11), "n_ctx": (8, 16), "n_batch": (1, 2, 3),
        "n_seq": tuple(range(1, 9)), "n_window": (1, 2, 3, 6), "n_chunk": (1, 2, 4), "n_side": (1, 2, 3),
        "d_patch": (1, 2, 3), "d_conv": (2, 3, 4), "n_bucket": (8,), "n_source": (2, 3, 4),
    }
)  # fmt: skip
"""What a size is taken from, where it is not as below."""
FACTORS = (1, 2, 3, 4, 6)
"""What a size is of the least that it can be: one, or what has to divide it."""
EVEN = frozenset({"d_head", "d_rope", "d_nope"})
"""Widths that rotary positions cut in halves, and the width of a model whose heads have none of their own."""
DIVIDES = (("n_kv_head", "n_head"), ("d_rope", "d_model"), ("n_ssm_head", "d_model"))
"""Pairs of sizes of which the first divides the second, beside those that a family names."""
AT_MOST = (("n_active", "n_expert"), ("n_layer_dense", "n_layer"))
"""Pairs of sizes of which the first is no more than the second."""
FLAGS = ("tie_word_embeddings", "attention_bias", "mlp_bias")
"""Fields that say which parameters there are."""
NEEDED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "deepseek_v2": {"num_experts_per_tok": 2},
        "gpt_neox": {"rotary_pct": 1.0},
        "stablelm": {"partial_rotary_factor": 0.5},
        "bamba": {"mamba_d_head": "auto"},
    }
)
"""What a bare config of a family lacks, or what is so by default only in large models."""
FOLLOWING: Mapping[str, Callable[[Sizes], Mapping[str, Any]]] = MappingProxyType(
    {
        "gpt_neo": lambda sizes: {"attention_types": [[["global"], sizes["n_layer"]]]},
        "vit": lambda sizes: {"image_size": 2 * sizes["d_patch"]},
        "clip": lambda sizes: {"vision_config": {"image_size": 2 * sizes["d_patch"]}},
        "mamba2": lambda sizes: {"expand": 1, "hidden_size": sizes["n_head"] * sizes["d_head"]},
        "falcon_h1": lambda sizes: {"mamba_d_ssm": 2 * sizes["n_ssm_head"]},
    }
)
"""Fields that have to fit the sizes."""


def sized(family: str, choose: Choose) -> Architecture:
    """A small model of a family, with every size that its config has a field for and its flags as they are chosen.

    Raises `SymflopsError` where the sizes do not fit each other.
    """
    base = _base(family)
    chosen: dict[str, int] = {}
    for name in _order(base):
        chosen[name] = choose(name, tuple(_allowed(name, base, chosen)))
    flags = {name: choose(name, _either(base.config[name])) for name in _flags(family)}
    config = _with(overridden(base.table, base.config, chosen), {**flags, **FOLLOWING.get(family, _nothing)(chosen)})
    return kept(config)


def _with(config: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A config with other fields, also in its parts."""
    inside = {name: _with(config[name], part) for name, part in fields.items() if isinstance(part, Mapping)}
    return {**config, **fields, **inside}


@lru_cache(maxsize=64)
def _flags(family: str) -> tuple[str, ...]:
    """The flags that a family takes either way."""
    config = _base(family).config
    return tuple(name for name in FLAGS if config.get(name) is not None and _stands({**config, name: not config[name]}))


def _stands(config: Mapping[str, Any]) -> bool:
    try:
        architecture(config)
    except SymflopsError:
        return False
    return True


def _nothing(sizes: Sizes) -> Mapping[str, Any]:
    return {}


def _either(flag: bool) -> tuple[bool, bool]:
    return flag, not flag


def kept(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a config, one object for each, so that what is made of it is kept with it."""
    return _kept(json.dumps(config, sort_keys=True, default=str))


@lru_cache(maxsize=4096)
def _kept(config: str) -> Architecture:
    return architecture(json.loads(config))


@lru_cache(maxsize=64)
def _base(family: str) -> Architecture:
    """A bare config of a family. Raises `UnknownFamily`."""
    return architecture({"model_type": family, **NEEDED.get(family, {})})


@lru_cache(maxsize=64)
def own(family: str) -> tuple[str, ...]:
    """The sizes that a config of the family has a field for.

    >>> own("gpt2")
    ('n_layer', 'd_model', 'd_ff', 'n_vocab', 'n_ctx', 'n_head')
    """
    fields, model = completed({"model_type": family}), _base(family)
    held = [(name, field.name.split(".")[0]) for name, field in model.table.items() if field.name]
    return tuple(name for name, path in held if path in fields and model.config[path] != "auto")


def sizes_of(family: str) -> tuple[str, ...]:
    """Every size that models of the family have, those that follow from others too."""
    return tuple(_base(family).sizes)


def _order(base: Architecture) -> tuple[str, ...]:
    """The sizes of a family, each after those that it depends on."""
    names = own(base.family.name)
    waits = [pair for pair in (*_divisions(base), *AT_MOST) if {*pair} <= {*names}]
    order: list[str] = []
    while len(order) < len(names):
        ready = [name for name in names if name not in order]
        order.append(next(name for name in ready if not any(b == name and a not in order for a, b in waits)))
    return tuple(order)


def _divisions(base: Architecture) -> tuple[tuple[str, str], ...]:
    """Pairs of sizes of which the first divides the second; heads without a width of their own share the model's."""
    heads = [(f"n_head{tower}", f"d_model{tower}") for tower in ("", "_vision", "_audio")]
    return (*base.family.divides, *DIVIDES, *heads)


def _allowed(name: str, base: Architecture, chosen: Sizes) -> Iterator[int]:
    if name in VALUES and name != "n_layer":
        yield from VALUES[name]
        return
    unit = lcm(*(chosen[divisor] for divisor, number in _divisions(base) if number == name and divisor in chosen))
    unit *= chosen.get("d_rope", 1) if name == "d_model" else 1
    even = name in EVEN or (name.startswith("d_model") and "n_head" in base.sizes)
    least = max((chosen[less] for less, more in AT_MOST if more == name and less in chosen), default=1)
    values = VALUES.get(name, FACTORS)
    yield from (least + value - 1 if least > 1 else value * unit * (2 if even else 1) for value in values)


def probe(family: str, index: int) -> Case:
    """A case of a family at sizes that have little in common, always the same ones: to tell formulas apart.

    Raises `SymflopsError` for a family whose sizes cannot be drawn.
    """
    random = Random(f"{family} {index}")
    for _ in range(50):
        try:
            model = sized(family, lambda name, values: random.choice(values[len(values) // 2 :]))
        except SymflopsError:
            continue
        return Case(model, random.choice((1, 2, 3)), 5 + random.randrange(12))
    raise SymflopsError(f"no small sizes of {family} fit each other")


def known_families(names: Sequence[str]) -> tuple[str, ...]:
    """The families of these names, or all. Raises `UnknownFamily`."""
    for name in names:
        _base(name)
    return tuple(names or FAMILIES)
