"""How a module is built without weights: on which device, in which type, and with nothing initialised."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from symflops.errors import ConfigError
from symflops.tracing.internals import FakeTensorMode


@contextmanager
def without_initialisers() -> Iterator[None]:
    """A scope in which new modules leave their weights as allocated; the initialisers are restored on the way out."""
    names = [name for name in vars(nn.init) if name.endswith("_") and not name.startswith("_")]
    with ExitStack() as stack:
        stack.enter_context(_replaced(nn.init, {name: _untouched for name in names}))
        library = sys.modules.get("transformers.modeling_utils")
        if library is not None:
            # Not `init_weights`: that one also ties the weights.
            stack.enter_context(_replaced(library.PreTrainedModel, {"initialize_weights": _untouched}))
        yield


def _untouched(tensor: Any, *_: object, **__: object) -> Any:
    return tensor


@contextmanager
def _replaced(owner: Any, attributes: Mapping[str, object]) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in attributes}
    try:
        for name, value in attributes.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def one_sequence_per_row() -> Iterator[None]:
    """A scope in which transformers takes every row of tokens for one sequence without padding.

    It looks for packed sequences and padding in the values, which shapes alone do not have. On meta that fails; on fake
    tensors it assumes packed sequences, so that attention gets a dense mask where a real run has `is_causal`.
    """
    if sys.modules.get("transformers") is None:
        yield
        return
    from transformers import masking_utils, modeling_utils

    with ExitStack() as stack:
        stack.enter_context(_replaced(masking_utils, {"find_packed_sequence_indices": lambda position_ids: None}))
        silent = {"warn_if_padding_and_no_attention_mask": lambda self, input_ids, attention_mask: None}
        stack.enter_context(_replaced(modeling_utils.PreTrainedModel, silent))
        yield


def place(device: str) -> tuple[torch.device, FakeTensorMode | None]:
    kind, _, of = device.partition(":")
    try:
        if kind == "fake":
            return torch.device(of or "cpu"), FakeTensorMode()
        return torch.device(device), None
    except RuntimeError as error:
        raise ConfigError(f"unknown device {device!r}; one of meta, fake, or a real one such as cpu") from error


def made(
    make: Callable[[], nn.Module], place: torch.device, mode: FakeTensorMode | None, dtype: torch.dtype
) -> nn.Module:
    with ExitStack() as stack:
        stack.enter_context(_default_dtype(dtype))
        if place.type == "meta" or mode is not None:
            stack.enter_context(without_initialisers())
        if mode is not None:
            stack.enter_context(mode)
        stack.enter_context(place)
        return make()
