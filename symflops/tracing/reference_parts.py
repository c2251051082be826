"""What the reference models are put together from: sizes read from a config, attention, rotary embedding, norms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symflops.errors import ConfigError, SizeError, UnknownName

Config = Mapping[str, object]


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; n_head * d_head need not be d_model."""

    n_layer: int
    d_model: int
    n_head: int
    n_kv_head: int
    d_head: int
    d_ff: int
    n_vocab: int
    n_ctx: int


# For each family and size: the config fields that give it, first come first served, and the default without any.
SIZES: Mapping[str, Mapping[str, tuple[tuple[str, ...], int]]] = {
    "gpt2": {
        "n_layer": (("n_layer", "num_hidden_layers"), 12),
        "d_model": (("n_embd", "hidden_size"), 768),
        "n_head": (("n_head", "num_attention_heads"), 12),
        "n_vocab": (("vocab_size",), 50257),
        "n_ctx": (("n_positions", "max_position_embeddings"), 1024),
    },
    "llama": {
        "n_layer": (("num_hidden_layers",), 32),
        "d_model": (("hidden_size",), 4096),
        "n_head": (("num_attention_heads",), 32),
        "n_vocab": (("vocab_size",), 32000),
        "n_ctx": (("max_position_embeddings",), 2048),
        "d_ff": (("intermediate_size",), 11008),
    },
    "gpt_neox": {
        "n_layer": (("num_hidden_layers",), 44),
        "d_model": (("hidden_size",), 6144),
        "n_head": (("num_attention_heads",), 64),
        "n_vocab": (("vocab_size",), 50432),
        "n_ctx": (("max_position_embeddings",), 2048),
        "d_ff": (("intermediate_size",), 24576),
    },
}


def size(config: Config, names: tuple[str, ...], default: int) -> int:
    """The first of `names` that the config gives, or `default`; SizeError unless it is a positive integer."""
    name, value = next(((name, config[name]) for name in names if config.get(name) is not None), (names[0], default))
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SizeError(f"{name} must be a positive integer, got {value!r}")
    return value


def shape(config: Config, family: str) -> Shape:
    """All sizes; the head size is the config's `head_dim`, or d_model / n_head where that is whole.

    >>> shape({"n_embd": 2048, "n_head": 24, "head_dim": 128}, "gpt2").d_head
    128
    """
    sizes = {name: size(config, *field) for name, field in SIZES[family].items()}
    d_model, n_head = sizes["d_model"], sizes["n_head"]
    if config.get("head_dim") is None and d_model % n_head:
        raise SizeError(f"{n_head} heads do not divide a model size of {d_model}; give head_dim")
    d_head = size(config, ("head_dim",), d_model // n_head)
    n_kv_head = size(config, ("num_key_value_heads",), n_head) if family == "llama" else n_head
    if n_head % n_kv_head:
        raise SizeError(f"{n_kv_head} key-value heads do not divide {n_head} heads")
    sizes.setdefault("d_ff", size(config, ("n_inner",), 4 * d_model))
    return Shape(**sizes, n_kv_head=n_kv_head, d_head=d_head)


def truth(config: Config, name: str, default: bool) -> bool:
    value = config.get(name)
    return default if value is None else bool(value)


def number(config: Config, name: str, default: float) -> float:
    value = config.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ConfigError(f"{name} must be a number, got {value!r}")
    return default if value is None else float(value)


def section(config: Config, *names: str) -> dict[str, object]:
    """The first of the nested fields that the config gives, empty without any."""
    value = next((config[name] for name in names if config.get(name)), {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{' or '.join(names)} must be a mapping, got {value!r}")
    return dict(value)


class NewGELU(nn.Module):
    """GPT-2's tanh approximation of GELU, spelt out as elementwise steps as its original code does."""

    def forward(self, x: Tensor) -> Tensor:
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "gelu_new": NewGELU,
    "gelu_pytorch_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}


def activation(config: Config, name: str, default: str) -> nn.Module:
    given = str(config.get(name) or default)
    if given not in ACTIVATIONS:
        raise UnknownName("activation", given, ACTIVATIONS)
    return ACTIVATIONS[given]()


def causal_mask(x: Tensor) -> Tensor:
    """What is added to the scores: 0 up to the query's own position and the least finite number after it."""
    positions = torch.arange(x.shape[1], device=x.device)
    seen = positions[:, None] >= positions[None, :]
    return torch.where(seen, torch.zeros((), device=x.device, dtype=x.dtype), torch.finfo(x.dtype).min)[None, None]


def repeat_heads(x: Tensor, n_times: int) -> Tensor:
    """(n_batch, n_kv_head, n_seq, d_head) with each head `n_times` in a row."""
    n_batch, n_kv_head, n_seq, d_head = x.shape
    if n_times == 1:
        return x
    return x[:, :, None].expand(-1, -1, n_times, -1, -1).reshape(n_batch, n_kv_head * n_times, n_seq, d_head)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, softmax_dtype: torch.dtype | None = None) -> Tensor:
    """Causal attention, (n_batch, n_seq, n_head * d_head): product by product under a mask, fused without one."""
    n_batch, n_head, n_seq, d_head = q.shape
    n_times = n_head // k.shape[1]
    if mask is None:
        # As transformers does: its fused grouped attention takes heads of at most 256.
        grouped = n_times > 1 and d_head <= 256
        if not grouped:
            k, v = repeat_heads(k, n_times), repeat_heads(v, n_times)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=n_seq > 1, scale=d_head**-0.5, enable_gqa=grouped)
    else:
        k, v = repeat_heads(k, n_times), repeat_heads(v, n_times)
        scores = torch.matmul(q, k.transpose(2, 3)) * d_head**-0.5 + mask
        out = torch.matmul(F.softmax(scores, dim=-1, dtype=softmax_dtype).to(q.dtype), v)
    return out.transpose(1, 2).reshape(n_batch, n_seq, n_head * d_head).contiguous()


def inverse_frequencies(rope: Config, d_rope: int, n_ctx: int) -> Tensor:
    """The d_rope / 2 rotary frequencies in radians per position, for rope types default, linear and llama3."""
    theta = number(rope, "rope_theta", 10000.0)
    frequency = 1.0 / (theta ** (torch.arange(0, d_rope, 2, dtype=torch.float32) / d_rope))
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        return frequency
    factor = number(rope, "factor", 1.0)
    if kind == "linear":
        return frequency / factor
    if kind != "llama3":
        raise UnknownName("rope_type", str(kind), ["default", "linear", "llama3"])
    low, high = number(rope, "low_freq_factor", 1.0), number(rope, "high_freq_factor", 4.0)
    turns = number(rope, "original_max_position_embeddings", n_ctx) * frequency / (2 * math.pi)
    share = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return (1 - share) * frequency / factor + share * frequency


class Rotary(nn.Module):
    """Angles of the rotary embedding: cosines and sines of shape (1, n_seq, d_rope).

    The outer product of positions and frequencies is elementwise and without gradient, so it is no matrix product.
    """

    inv_freq: Tensor

    def __init__(self, rope: Config, at: Shape, share: float) -> None:
        super().__init__()
        # An odd number of channels is rounded up to whole pairs, as transformers does.
        d_rope = int(at.d_head * share)
        if d_rope + d_rope % 2 > at.d_head:
            raise SizeError(f"the rotary embedding turns pairs of channels; heads of {at.d_head} do not hold {d_rope}")
        self.register_buffer("inv_freq", inverse_frequencies(rope, d_rope, at.n_ctx), persistent=False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(x.shape[1], device=x.device)[None, :, None]
        angles = positions.float() * self.inv_freq.to(torch.float32)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos().to(x.dtype), both.sin().to(x.dtype)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the first d_rope channels of every head; the rest passes through."""
    cosine, sine = turn[0][:, None], turn[1][:, None]
    turned, kept = x[..., : cosine.shape[-1]], x[..., cosine.shape[-1] :]
    left, right = turned.chunk(2, dim=-1)
    out = turned * cosine + torch.cat((-right, left), dim=-1) * sine
    return torch.cat((out, kept), dim=-1) if kept.shape[-1] else out


class RMSNorm(nn.Module):
    """Root-mean-square norm, computed in float32 whatever the model's type."""

    def __init__(self, d_model: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.to(torch.float32)
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class TransposedLinear(nn.Module):
    """GPT-2's linear map, whose weight is stored as (inputs, outputs)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight)
        return flat.view(*x.shape[:-1], flat.shape[-1])
