"""Programs written for torch's FlopCounterMode, as their users write them: only the class is given.

Each takes the class of the counter and returns the counter, after all it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Program = Callable[[Any], Any]


class Mlp(nn.Module):
    def __init__(self, width: int = 8, hidden: int = 12) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(torch.relu(self.up(x)))  # type: ignore[no-any-return]


class Net(nn.Module):
    """Layers in a list, called one by one, and a product outside of them."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 8)
        self.layers = nn.ModuleList(Mlp() for _ in range(3))
        self.head = nn.Linear(8, 16, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x @ x.transpose(-2, -1) @ x)  # type: ignore[no-any-return]


def llama(**fields: Any) -> Any:
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=32, max_position_embeddings=64, pad_token_id=None, **fields,
    )  # fmt: skip
    config._attn_implementation = "eager"
    return transformers.LlamaForCausalLM(config)


def tokens(batch: int = 2, length: int = 6) -> Tensor:
    return torch.zeros(batch, length, dtype=torch.long)


# --- training loops and the wrappers around them ----------------------------------------------------------------------


def mfu_in_a_training_loop(kind: Any) -> Any:
    """The first step is counted, the others are timed."""
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), fused=False)
    counter = kind(display=False)
    for step in range(2):
        if step == 0:
            counter.__enter__()
        loss = model(tokens()).float().logsumexp(-1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step == 0:
            counter.__exit__(None, None, None)
    return counter


def lightnings_measure_flops(kind: Any) -> Any:
    """On the meta device; the caller gives functions for the output and its loss."""

    def measure_flops(forward: Callable[[], Tensor], loss: Callable[[Tensor], Tensor] | None) -> Any:
        counter = kind(display=False)
        with counter:
            if loss is None:
                forward()
            else:
                torch.autograd.backward(loss(forward()))
        return counter

    with torch.device("meta"):
        model, x = Mlp(), torch.empty(4, 8)
    return measure_flops(lambda: model(x), lambda y: y.sum())


def gradients_accumulated(kind: Any) -> Any:
    model = Mlp()
    with kind(display=False) as counter:
        for _ in range(3):
            (model(torch.ones(4, 8)).sum() / 3).backward()
    return counter


def backward_outside(kind: Any) -> Any:
    model = Mlp()
    with kind(display=False) as counter:
        y = model(torch.ones(4, 8))
    y.sum().backward()
    return counter


def backward_alone(kind: Any) -> Any:
    y = Mlp()(torch.ones(4, 8))
    with kind(display=False) as counter:
        y.sum().backward()
    return counter


def double_backward(kind: Any) -> Any:
    model, x = Mlp(), torch.ones(4, 8, requires_grad=True)
    with kind(display=False) as counter:
        (slope,) = torch.autograd.grad(model(x).pow(2).sum(), x, create_graph=True)
        slope.pow(2).sum().backward()
    return counter


def checkpointed(kind: Any) -> Any:
    model = Mlp()
    x = torch.ones(4, 8, requires_grad=True)
    with kind(display=False) as counter:
        y: Any = checkpoint(model, x, use_reentrant=True)
        y.sum().backward()
    return counter


# --- transformers -----------------------------------------------------------------------------------------------------


def transformers_inference(kind: Any) -> Any:
    model = llama().eval()
    with torch.no_grad(), kind(display=False) as counter:
        model(tokens(), use_cache=False)
    return counter


def transformers_training(kind: Any) -> Any:
    model = llama().train()
    with kind(display=False) as counter:
        model(input_ids=tokens(), labels=tokens(), use_cache=False).loss.backward()
    return counter


def transformers_checkpointing(kind: Any) -> Any:
    model = llama().train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    with kind(display=False) as counter:
        model(input_ids=tokens(), labels=tokens()).loss.backward()
    return counter


def transformers_generation(kind: Any) -> Any:
    model = llama().eval()
    with kind(display=False) as counter:
        model.generate(tokens(1, 5) + 3, max_new_tokens=4, min_new_tokens=4, do_sample=False)
    return counter


TRAINING: tuple[Program, ...] = (
    mfu_in_a_training_loop, lightnings_measure_flops, gradients_accumulated, backward_outside, backward_alone,
    transformers_inference, transformers_generation,
)  # fmt: skip
MISPLACED: tuple[Program, ...] = (checkpointed, transformers_training, transformers_checkpointing)
"""Torch's counter has the right totals of these, and puts parts of the backward pass on other modules' account."""
