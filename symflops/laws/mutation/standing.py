"""Where operations stand: their roles by name, the pairs that each attention sees, what runs in a step, real counts.

>>> from symflops.laws.catalogue.subjects import model, network
>>> [instance.subject for instance in stands("llama", model("llama")) if not instance.holds]
[]
>>> [instance.subject for instance in stands("bert", model("gpt2")) if not instance.holds][:2]
['bert: pairs of Attention: Mask/mix', 'bert: pairs of Attention: Mask/scores']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sympy import Expr

from symflops.architectures import Architecture, architecture
from symflops.laws.catalogue.subjects import crosses, steps, windowed
from symflops.laws.law import Instance, counted
from symflops.masks import AttendedPairs, Causal, Full, SlidingWindow
from symflops.measures import params
from symflops.networks import Once, uses
from symflops.notation import n_window

_ELSEWHERE = frozenset({"Encoder: Embed/position"})
"""Sounds have fixed positions."""
_ROLES: Mapping[str, str] = {
    "q": "qkv, rotary", "k": "qkv, rotary", "v": "qkv", "qkv": "qkv", "scores": "scores, scan", "mix": "mix",
    "softmax": "softmax, router", "project": "project", "up": "feedforward", "down": "feedforward",
    "gate_up": "feedforward", "act": "activation", "router": "router", "logits": "logits", "token": "embedding",
    "cos": "rotary", "sin": "rotary", "softcap": "softcap", "normalise": "router", "sigmoid": "router",
    "correct": "router", "combine": "residual, scan", "relative": "position",
    "logits_bias": "bias", "bias": "bias", "type": "embedding", "patch": "patch",
    "kv_down": "qkv", "kv_up": "qkv", "q_down": "qkv", "q_up": "qkv", "position": "position",
    "class_token": "class", "pooler": "head", "convolution": "convolution", "conv1": "convolution",
    "conv2": "convolution", "project_in": "state space", "gain": "norm",
}  # fmt: skip
"""The role of an operation by its name, as papers' tables have it."""


def _roles(family: str, whole: Expr) -> Iterator[Instance]:
    for use in uses(whole):
        name = use.operation.name
        wanted = "norm" if name.startswith("norm_") or name.endswith("_norm") else _ROLES.get(name, "")
        wanted = "residual" if name.startswith("add") else wanted
        role = use.operation.role
        if wanted and use.path not in _ELSEWHERE:
            yield Instance(f"{family}: role of {use.path}", role in wanted.split(", "), "oracle", role, wanted)


ENCODERS = frozenset({"bert", "roberta", "vit"})
"""Families in which every token sees every other; in an encoder beside a decoder, across and in images it does, too."""


def _all_pairs(family: str, path: str) -> bool:
    return family in ENCODERS or any(word in path for word in ("Encoder", "Cross", "Vision"))


def _pairs(family: str, whole: Expr) -> Iterator[Instance]:
    """Encoders see all pairs; decoders those up to the token itself, or as many of them as a window is long."""
    for use in uses(whole):
        mask = use.operation.mask
        if mask is not None and use.operation.role != "scan":
            fits = _fits(mask, _all_pairs(family, use.path), windowed(family))
            yield Instance(f"{family}: pairs of {use.path}", fits, "oracle", str(mask))


def _fits(mask: AttendedPairs, everything: bool, window: bool) -> bool:
    if everything:
        return type(mask) is Full
    narrow = window and type(mask) is SlidingWindow and mask.args[2] == n_window
    return (type(mask) is Causal or narrow) and mask.n_query == mask.n_key


def _steps(family: str, of: Architecture) -> Iterator[Instance]:
    """A step runs everything but the encoder, and the keys and values that are made of it."""
    if steps(family):
        inside = {use.path for use in uses(of.step)}
        missing = [use.path for use in uses(of.network) if _in_step(use.path) and use.path not in inside]
        yield Instance(f"{family}: a step runs it all", not missing, "oracle", ", ".join(missing))
        if not crosses(family):
            yield Instance(f"{family}: nothing runs once", not of.network.has(Once), "oracle")


def _in_step(path: str) -> bool:
    across = "Cross" in path and path.rpartition("/")[2] in ("k", "v")
    return not across and "Encoder" not in path and not path.startswith(_SCAN)


_SCAN = "State space"
"""A step of a state space is another algorithm than its prefill."""
_SMALL: Mapping[str, Any] = {
    "num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 20, "vocab_size": 41, "mamba_n_heads": 12, "mamba_d_head": 8, "mamba_n_groups": 4,
    "mamba_d_state": 5, "mamba_chunk_size": 4,
}  # fmt: skip
REAL: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "bamba": ({**_SMALL, "attn_layer_indices": [1]}, 54_088),
    "falcon_h1": ({**_SMALL, "head_dim": 14, "mamba_d_ssm": 96}, 88_212),
}  # fmt: skip
"""Parameters of small modules of transformers 5.23, of the families whose code has no certified closed forms."""


@cache
def _small(family: str) -> Architecture:
    return architecture({"model_type": family, **REAL[family][0]})


def _real(family: str, of: Architecture) -> Iterator[Instance]:
    if family in REAL:
        model = replace(_small(family), family=of.family)
        yield counted(f"parameters of a small {family}", model.at(params(model.network)), REAL[family][1])


def stands(family: str, of: Architecture) -> Iterator[Instance]:
    """Roles, pairs, steps and real counts of a family."""
    yield from _roles(family, of.network)
    yield from _pairs(family, of.network)
    yield from _steps(family, of)
    yield from _real(family, of)


__all__ = ["ENCODERS", "REAL", "stands"]
