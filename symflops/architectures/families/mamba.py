"""Mamba and Mamba-2: state space layers, and no attention.

Whole sequences are declared as the PyTorch code of transformers computes them, without compiled kernels: the causal
convolution at n_seq + d_conv - 1 positions; Mamba-2's scan in whole chunks, so that its closed forms hold where n_chunk
divides n_seq. Tokens after others, as in decoding, cost what the recurrence costs, which is linear in them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from sympy import Expr, ceiling

from symflops.architectures import stacks
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, positive_integer
from symflops.architectures.runs import Run
from symflops.errors import ConfigError
from symflops.layers.causal_convolution import over_sequence, over_window
from symflops.layers.linear import Bias
from symflops.layers.norm import residual, rms_norm
from symflops.layers.ssd import StateHeads, chunked_scan, gated_norm, ssd_mixer, steps
from symflops.layers.ssm import selective_mixer, selective_scan, selective_steps
from symflops.notation import d_head, d_model, n_head, n_layer, n_ssm_group

LOW_RANK = ceiling(d_model / 16)
"""The rank of the time steps where a config leaves it to the code."""


Biases = tuple[str, str, str]
"""Fields of a config that say whether there are biases: of the projection in, the convolution, the projection out."""
BIASES: Biases = ("use_bias", "use_conv_bias", "use_bias")


def selective(config: Config, run: Run, fields: Biases = BIASES) -> Expr:
    """A Mamba layer's inside."""
    parts = (over_sequence, selective_scan) if run.whole else (over_window, selective_steps)
    return selective_mixer(config["hidden_act"], _biases(config, fields), run.stream(), *parts)


def dual(
    config: Config, run: Run, heads: StateHeads, fields: Biases = BIASES, gated: Callable[..., Any] = gated_norm
) -> Expr:
    """A Mamba-2 layer's inside."""
    parts = (over_sequence, chunked_scan) if run.whole else (over_window, steps)
    return ssd_mixer(heads, config["hidden_act"], _biases(config, fields), run.stream(), *parts, gated)


def _biases(config: Config, fields: Biases) -> tuple[Bias, Bias, Bias]:
    first, convolution, last = (stacks.bias(config, field) for field in fields)
    return first, convolution, last


def _stack(config: Config, run: Run, mixer: Expr) -> Expr:
    layer = rms_norm("norm", run.stream()) + mixer + residual("add", run.stream())
    return stacks.decoder(config, run, n_layer * layer, rms_norm)


def _mamba(config: Config, run: Run) -> Expr:
    return _stack(config, run, selective(config, run))


def _mamba2(config: Config, run: Run) -> Expr:
    first, second = (
        prod(positive_integer(name, config[name]) for name in names)
        for names in (("expand", "hidden_size"), ("num_heads", "head_dim"))
    )
    if first != second:
        raise ConfigError(f"expand*hidden_size = {first} is not num_heads*head_dim = {second}, which are one width")
    return _stack(config, run, dual(config, run, StateHeads(n_head, d_head, n_ssm_group)))


def _expanded(config: Config) -> Expr | None:
    """The channels of a layer, where the config leaves them to the code: a multiple of the model's width."""
    return positive_integer("expand", config["expand"]) * d_model if "expand" in config else None


_OUTER = """
    token      backbone.embeddings
    norm       backbone.layers.*.norm
    norm_final backbone.norm_f
    logits     lm_head
"""

MAMBA = Family(
    "mamba",
    "Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, 2023, arXiv:2312.00752",
    _mamba,
    _OUTER
    + """
    project_in  backbone.layers.*.mixer.in_proj
    convolution backbone.layers.*.mixer:conv1d.weight,conv1d.bias
    select      backbone.layers.*.mixer.x_proj
    time_step   backbone.layers.*.mixer:dt_proj.weight,dt_proj.bias
    decay       backbone.layers.*.mixer:A_log
    skip        backbone.layers.*.mixer:D
    output      backbone.layers.*.mixer
    project_out backbone.layers.*.mixer.out_proj
    """,
    fields={
        "d_inner": Field("intermediate_size", _expanded),
        "r_dt": Field("time_step_rank", LOW_RANK),
    },
)

MAMBA2 = Family(
    "mamba2",
    "Dao and Gu, Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space "
    "Duality, 2024, arXiv:2405.21060",
    _mamba2,
    _OUTER
    + """
    project_in  backbone.layers.*.mixer.in_proj
    convolution backbone.layers.*.mixer:conv1d.weight,conv1d.bias
    time_step   backbone.layers.*.mixer:dt_bias
    decay       backbone.layers.*.mixer:A_log
    skip        backbone.layers.*.mixer:D
    gain        backbone.layers.*.mixer.norm
    project_out backbone.layers.*.mixer.out_proj
    scores inside chunk_states between outside output backbone.layers.*.mixer
    """,
    divides=(("n_ssm_group", "n_head"), ("n_chunk", "n_seq")),
)

FAMILIES = (MAMBA, MAMBA2)
