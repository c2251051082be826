"""A language model of feed-forward layers, and the ways to train it: checkpointed, frozen in part, with adapters.

Its factories are targets of `symflops trace`: their parameters are sizes of the notation, or named as in configs.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Layer(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up: nn.Module = nn.Linear(width, hidden, bias=False)
        self.down: nn.Module = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(x)))  # type: ignore[no-any-return]


class Model(nn.Module):
    def __init__(self, n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, n_embd)
        self.h = nn.ModuleList(Layer(n_embd, d_ff) for _ in range(n_layer))
        self.head = nn.Linear(n_embd, vocab_size, bias=False)

    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        return layer(x)  # type: ignore[no-any-return]

    def forward(self, idx: Tensor) -> Tensor:
        x = self.table(idx)
        for layer in self.h:
            x = self.run(layer, x)
        return self.head(x)  # type: ignore[no-any-return]


class Reentrant(Model):
    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(layer, x, use_reentrant=True)  # type: ignore[no-any-return]


class Early(Model):
    """A region that is run again only as far as something is still missing."""

    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(layer, x, use_reentrant=False)  # type: ignore[no-any-return]


class Whole(Model):
    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(layer, x, use_reentrant=False, early_stop=False)  # type: ignore[no-any-return]


class LoRALinear(nn.Module):
    """A frozen linear layer with a product of two thin ones beside it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Linear(base.in_features, rank, bias=False)
        self.b = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * self.b(self.a(x))  # type: ignore[no-any-return]


def frozen(modules: Iterable[nn.Module]) -> None:
    for module in modules:
        module.requires_grad_(False)


def plain(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    return Model(n_layer, n_embd, d_ff, vocab_size)


def reentrant(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    return Reentrant(n_layer, n_embd, d_ff, vocab_size)


def early(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    return Early(n_layer, n_embd, d_ff, vocab_size)


def whole(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    return Whole(n_layer, n_embd, d_ff, vocab_size)


def embedding_frozen(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    model = Model(n_layer, n_embd, d_ff, vocab_size)
    frozen([model.table])
    return model


def first_frozen(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    """The first layer, but not the embedding below it."""
    model = Model(n_layer, n_embd, d_ff, vocab_size)
    frozen(list(model.h)[:1])
    return model


def bottom_frozen(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    """The embedding and the first layer."""
    model = Model(n_layer, n_embd, d_ff, vocab_size)
    frozen([model.table, *list(model.h)[:1]])
    return model


def head_alone(n_layer: int, n_embd: int, d_ff: int, vocab_size: int) -> nn.Module:
    model = Model(n_layer, n_embd, d_ff, vocab_size)
    frozen([model.table, *model.h])
    return model


def adapted(n_layer: int, n_embd: int, d_ff: int, vocab_size: int, r_lora: int) -> nn.Module:
    """Adapters on both linear layers of each layer, all else frozen."""
    model = Model(n_layer, n_embd, d_ff, vocab_size)
    frozen([model.table, model.head])
    for layer in model.h:
        for name in ("up", "down"):
            setattr(layer, name, LoRALinear(getattr(layer, name), r_lora))
    return model
