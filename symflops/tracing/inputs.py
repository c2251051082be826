"""Inputs made from a model's signature and config, and the scalar that its backward pass starts from.

Sizes may be integers or torch's symbolic integers; tensors are made on the current device, so inside the scope that the
model runs in. Nothing is read from values: tokens are zeros, images and audio are empty.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from symflops.errors import ConfigError

Sizes = Mapping[str, Any]
Make = Callable[[nn.Module, Sizes], Tensor]
Inputs = dict[str, Any]
OUTPUTS = ("logits", "last_hidden_state", "logits_per_text", "prediction_logits", "reconstruction")
"""What a model's main output is called, the likeliest first."""
TOKENS = frozenset({"input_ids", "idx", "ids", "tokens", "token_ids", "x_ids", "input", "inputs", "x"})
"""What a user's own model calls its tokens."""
AUDIO_STRIDE = 2
"""Frames per encoded position: Whisper's second convolution keeps every other frame."""


def inputs(module: nn.Module, sizes: Sizes) -> Inputs:
    """The arguments of one call on whole sequences: ``n_batch`` of ``n_seq`` tokens, or as many images.

    A decoder beside an encoder reads ``n_target`` tokens where given, else ``n_seq``. Masks are made only where the
    signature requires them, and caches are switched off. Raises `ConfigError` for a required argument of a user's own
    model that is no table of tokens.

    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.embedding = nn.Embedding(7, 3)
    ...     def forward(self, idx, targets=None):
    ...         return self.embedding(idx)
    >>> inputs(Model(), {"n_batch": 2, "n_seq": 5})["idx"].shape
    torch.Size([2, 5])
    """
    parameters = inspect.signature(module.forward).parameters
    config = getattr(module, "config", None)
    names = _wanted(module, config, parameters) if hasattr(module, "main_input_name") else _required(module, parameters)
    made: Inputs = {name: _MAKERS[name](module, sizes) for name in names}
    return made | ({"use_cache": False} if "use_cache" in parameters else {})


def loss(output: Any) -> Tensor:
    """The sum of the main output's elements: the logits, or the last hidden state.

    >>> loss((torch.ones(2, 3), None))
    tensor(6.)

    Raises `ConfigError` for an output without a tensor of floating point numbers.
    """
    named = next((output[name] for name in OUTPUTS if isinstance(output, Mapping) and name in output), None)
    values = [named] if named is not None else torch.utils._pytree.tree_leaves(output)
    found = next((value for value in values if isinstance(value, Tensor) and value.is_floating_point()), None)
    if found is None:
        raise ConfigError(f"the model returned a {type(output).__name__} without a tensor to differentiate")
    return found.sum()


def decoding_inputs(module: nn.Module, sizes: Sizes) -> Inputs:
    """The arguments of one call on ``n_query`` new tokens after ``n_past`` that are in the cache.

    The cache is filled by running the model on the past, without gradients and before any counting the caller does of
    the call itself. Raises `ConfigError` for a model that has no cache of the usual kind.
    """
    parameters = inspect.signature(module.forward).parameters
    cache = next((name for name in ("past_key_values", "cache_params") if name in parameters), None)
    if cache is None or "input_ids" not in parameters or "use_cache" not in parameters:
        raise ConfigError(f"{type(module).__name__} decodes with no cache of the usual kind (past_key_values)")
    past = {"n_batch": sizes["n_batch"], "n_seq": sizes["n_past"]}
    with torch.no_grad():
        filled = module(**{**inputs(module, past), "use_cache": True})
    new = inputs(module, {**past, "n_seq": sizes["n_query"]})
    return {**new, cache: filled[cache], "use_cache": True}


def _wanted(module: Any, config: Any, parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """A transformers model's main input, and what it cannot run without although its signature has a default."""
    names = [module.main_input_name]
    if getattr(config, "is_encoder_decoder", False):
        names.append("decoder_input_ids")
    if hasattr(module, "get_text_features") and hasattr(module, "get_image_features"):
        names += ["input_ids", "pixel_values"]
    names += [name for name, each in parameters.items() if each.default is each.empty and name in _MAKERS]
    wanted = [name for name in dict.fromkeys(names) if name in parameters]
    unknown = [name for name in wanted if name not in _MAKERS]
    if unknown or not wanted:
        raise ConfigError(f"{type(module).__name__} takes {module.main_input_name!r}, which is not made; give inputs")
    return wanted


def _required(module: nn.Module, parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """A user's own model: its first argument is a table of tokens; no other may be required."""
    plain = [each for each in parameters.values() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    required = [each.name for each in plain if each.default is each.empty] or [each.name for each in plain[:1]]
    embeds = any(isinstance(each, nn.Embedding) for each in module.modules())
    unknown = [name for name in required if name not in _MAKERS or (name in TOKENS and not embeds)]
    if unknown or not required:
        named = repr(unknown[0]) if unknown else "no argument"
        raise ConfigError(
            f"{type(module).__name__}.forward takes {named}, which is not made; "
            "define inputs(module, sizes) beside the factory, or pass inputs=…: it gives the arguments of one call"
        )
    return required


def _tokens(module: nn.Module, sizes: Sizes) -> Tensor:
    return torch.zeros((sizes["n_batch"], sizes["n_seq"]), dtype=torch.long)


def _target_tokens(module: nn.Module, sizes: Sizes) -> Tensor:
    return torch.zeros((sizes["n_batch"], sizes.get("n_target", sizes["n_seq"])), dtype=torch.long)


def _mask(module: nn.Module, sizes: Sizes) -> Tensor:
    return torch.ones((sizes["n_batch"], sizes["n_seq"]), dtype=torch.long)


def _pixels(module: Any, sizes: Sizes) -> Tensor:
    config = getattr(module.config, "vision_config", module.config)
    side = config.image_size
    height, width = side if isinstance(side, (list, tuple)) else (side, side)
    return torch.empty((sizes["n_batch"], config.num_channels, height, width), dtype=_dtype(module))


def _frames(module: Any, sizes: Sizes) -> Tensor:
    config = getattr(module.config, "audio_config", module.config)
    shape = (sizes["n_batch"], config.num_mel_bins, AUDIO_STRIDE * config.max_source_positions)
    return torch.empty(shape, dtype=_dtype(module))


def _dtype(module: nn.Module) -> torch.dtype:
    return next((each.dtype for each in module.parameters() if each.is_floating_point()), torch.get_default_dtype())


_MAKERS: Mapping[str, Make] = {
    **dict.fromkeys(TOKENS, _tokens),
    "decoder_input_ids": _target_tokens,
    "attention_mask": _mask,
    "pixel_values": _pixels,
    "input_features": _frames,
}
