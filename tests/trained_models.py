"""Models of transformers on a CPU after a step of an optimiser, and what of them is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from symflops import Architecture
from symflops.training.state import ModelState

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from symflops.tracing.models import build  # noqa: E402

_LLAMA = {
    "model_type": "llama", "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3,
    "hidden_size": 36, "intermediate_size": 33, "vocab_size": 41, "max_position_embeddings": 16,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {"model_type": "gpt2", "n_layer": 2, "n_head": 3, "n_embd": 24, "vocab_size": 41, "n_positions": 16},
    "llama": _LLAMA,
    "llama, tied, biases": {**_LLAMA, "attention_bias": True, "tie_word_embeddings": True},
    "mixtral": {
        "model_type": "mixtral", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_size": 24, "intermediate_size": 20, "vocab_size": 41, "num_local_experts": 4, "num_experts_per_tok": 2,
    },
}  # fmt: skip
DENSE = [name for name in CONFIGS if name != "mixtral"]


def muon(parameters: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
    """Muon for matrices of hidden layers, AdamW for the rest, as its author says."""
    outer = ("wte", "wpe", "embed", "lm_head")
    hidden = [each for name, each in parameters.items() if each.ndim == 2 and not any(word in name for word in outer)]
    rest = [each for each in parameters.values() if not any(each is other for other in hidden)]
    return [torch.optim.Muon(hidden), *([torch.optim.AdamW(rest)] if rest else [])]


def one(make: Callable[..., torch.optim.Optimizer], **more: Any) -> Callable[..., list[torch.optim.Optimizer]]:
    return lambda parameters: [make(list(parameters.values()), lr=1e-3, **more)]


TORCH: dict[str, Callable[[dict[str, nn.Parameter]], list[torch.optim.Optimizer]]] = {
    "sgd": one(torch.optim.SGD),
    "momentum": one(torch.optim.SGD, momentum=0.9),
    "nesterov": one(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": one(torch.optim.Adagrad),
    "rmsprop": one(torch.optim.RMSprop),
    "adam": one(torch.optim.Adam),
    "adamw": one(torch.optim.AdamW),
    "amsgrad": one(torch.optim.Adam, amsgrad=True),
    "adafactor": one(torch.optim.Adafactor),
    "muon": muon,
}


class Trained:
    """A real model after one step."""

    def __init__(self, module: nn.Module, name: str, dtype: torch.dtype = torch.float32) -> None:
        self.module = module.to(dtype)
        backward(self.module)
        self.trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
        self.optimizers = TORCH[name](self.trained)
        for each in self.optimizers:
            each.step()

    @property
    def states(self) -> list[Tensor]:
        found = (state.values() for each in self.optimizers for state in each.state.values())
        return [each for values in found for each in values if isinstance(each, Tensor)]

    @property
    def bytes(self) -> dict[str, int]:
        parameters = list(self.module.parameters())
        return {
            "parameters": size(parameters),
            "gradients": size(each.grad for each in parameters if each.grad is not None),
            "optimizer": size(self.states),
        }


def size(tensors_: Iterable[Tensor]) -> int:
    return sum(each.nbytes for each in tensors_)


def backward(module: nn.Module) -> None:
    tokens = torch.arange(16).reshape(2, 8) % 41
    module(tokens, use_cache=False).logits.float().pow(2).mean().backward()


def real(config: str) -> nn.Module:
    torch.manual_seed(0)
    return build(CONFIGS[config], device="cpu").module


def at(model: Architecture, found: ModelState) -> dict[str, int]:
    return {part: int(model.at(found.bytes_of(part))) for part in ("parameters", "gradients", "optimizer")}
