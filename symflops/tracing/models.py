"""Real modules to check formulas against, built from a config without network, weights or memory to speak of.

transformers' class is built where it is installed and takes the shape; for GPT-2, Llama and GPT-NeoX the module of
`symflops.tracing.reference` stands in otherwise. `Built.source` says which it was, `Built.why` the reason.
"""

from __future__ import annotations

import copy
import difflib
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from symflops.errors import ConfigError, SizeError
from symflops.tracing.building import made, one_sequence_per_row, place
from symflops.tracing.classes import class_for
from symflops.tracing.internals import FakeTensorMode
from symflops.tracing.reference import FAMILIES, Attention, reference_model
from symflops.tracing.reference_parts import Config, shape

# Fields of a config.json that say where weights or code come from, or how weights are stored: none of them is a size.
# Left in place, `auto_map` sends transformers to the network and `quantization_config` to a quantiser.
_STORED = ("_name_or_path", "attn_implementation", "auto_map", "dtype", "quantization_config", "torch_dtype")
STORAGE_FIELDS = frozenset(_STORED)
# Their transformers class divides the model size among the heads, whatever the config's head_dim says.
WITHOUT_HEAD_DIM = frozenset({"gpt2", "gpt_neox"})
_OTHER_STACKS = frozenset({"encoder", "vision_model"})
"""Beside a decoder or a text tower, these read another sequence, or images."""
POSITION_TABLES = frozenset({"wpe", "embed_positions", "position_embedding", "position_embeddings"})


@dataclass(frozen=True, eq=False)
class Built:
    """A model in eval mode, whose parameters require a gradient, and where it came from.

    `source` names the package and class; `why` says, where the reference stands in, why transformers' class does not.
    """

    module: nn.Module
    source: str
    why: str | None
    device: torch.device
    mode: FakeTensorMode | None

    @contextmanager
    def scope(self) -> Iterator[None]:
        """The scope in which the module runs; it may be entered inside or outside a dispatch mode that counts."""
        with ExitStack() as stack:
            stack.enter_context(one_sequence_per_row())
            if self.mode is not None:
                stack.enter_context(self.mode)
            yield


class Refused(Exception):
    """transformers is missing, or does not take this config; the text is the reason."""


def build(
    config: Config,
    attention: Attention = "eager",
    device: str = "meta",
    dtype: torch.dtype = torch.float32,
) -> Built:
    """The model that a family is known for, with its language head, of a config (the fields of a config.json).

    `attention` is "eager" (product by product, under a dense mask) or "sdpa" (PyTorch's fused attention).
    `device` is "meta" (shapes only, fused attention takes the unfused path), "fake" (shapes only, the operators a CPU
    would run; "fake:cuda:0" those of that device) or a real device such as "cpu", where weights are initialised.
    `dtype` is that of the parameters, whatever the config says.

    >>> built = build({"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 3, "head_dim": 5, "vocab_size": 11})
    >>> built.source
    'symflops reference'
    >>> sum(p.numel() for p in built.module.parameters())
    9413

    Raises ConfigError for a family that neither transformers nor the reference knows and for settings they refuse,
    SizeError for sizes that do not fit together.
    """
    if attention not in ("eager", "sdpa"):
        raise ConfigError(f"unknown attention {attention!r}; one of eager, sdpa")
    family = config.get("model_type")
    if not isinstance(family, str):
        raise ConfigError(f"the config needs a model_type such as {', '.join(FAMILIES)}; got {family!r}")
    where, mode = place(device)
    try:
        settings = _resolve(config, family)
        module = made(lambda: _construct(settings, attention, dtype), where, mode, dtype)
        source, why = f"transformers {sys.modules['transformers'].__version__}, {type(module).__name__}", None
    except Refused as refusal:
        if family not in FAMILIES:
            raise ConfigError(str(refusal)) from refusal
        source, why = "symflops reference", str(refusal)
        module = made(lambda: reference_model(config, attention), where, mode, dtype)
    return Built(module.eval(), source, why, where, mode)


def refusal(config: Config) -> str | None:
    """Why transformers' class does not take a config, so that no code of it speaks for this model; None where it does.

    >>> refusal({"model_type": "gpt2", "n_embd": 8, "n_head": 3, "head_dim": 5})
    "transformers' gpt2 has no head_dim: 3 x 5 is not 8"
    """
    try:
        _resolve(config, str(config.get("model_type")))
    except Refused as refused:
        return str(refused)
    return None


def token_inputs(built: Built, n_batch: int, n_seq: int) -> dict[str, Any]:
    """The arguments of one call on `n_batch` whole sequences of `n_seq` tokens, where the module lives.

    >>> config = {"model_type": "gpt2", "n_embd": 8, "n_layer": 1, "n_head": 3, "head_dim": 5, "n_positions": 16}
    >>> tuple(token_inputs(build(config), 2, 16)["input_ids"].shape)
    (2, 16)

    Raises SizeError for a size below 1 and for sequences longer than a table of learned positions.
    """
    refuse_lengths(built, n_batch, n_seq)
    with built.scope():
        input_ids = torch.zeros((n_batch, n_seq), dtype=torch.long, device=built.device)
    return {"input_ids": input_ids, "use_cache": False}


def refuse_lengths(built: Built, n_batch: int, n_seq: int) -> None:
    """Raises SizeError for a size below 1 and for sequences longer than a table of learned positions."""
    limit = learned_positions(built.module)
    if n_batch < 1 or n_seq < 1:
        raise SizeError(f"n_batch and n_seq must be at least 1, got {n_batch} and {n_seq}")
    if limit is not None and n_seq > limit:
        raise SizeError(f"n_seq={n_seq} is longer than the table of {limit} learned positions")


def run_forward(built: Built, inputs: Mapping[str, Any]) -> Tensor:
    """The logits, of shape (n_batch, n_seq, n_vocab); gradients are recorded unless the caller switched them off."""
    with built.scope():
        logits: Tensor = built.module(**inputs).logits
    return logits


def run_forward_backward(built: Built, inputs: Mapping[str, Any]) -> Tensor:
    """The logits, after the gradients of their sum were computed for every parameter and dropped again.

    Dropping them keeps each call like the first: none adds to the gradients of the one before.
    """
    with built.scope(), torch.enable_grad():
        try:
            logits = run_forward(built, inputs)
            logits.sum().backward()  # type: ignore[no-untyped-call]
        finally:
            built.module.zero_grad(set_to_none=True)
    return logits


def parameters(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of every distinct parameter; a tied one once, under the first of its names."""
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def tied(module: nn.Module) -> dict[str, str]:
    """Every further name of a tied parameter, with the name that `parameters` lists it under."""
    first = {id(parameter): name for name, parameter in module.named_parameters()}
    every = module.named_parameters(remove_duplicate=False)
    return {name: first[id(parameter)] for name, parameter in every if name != first[id(parameter)]}


def learned_positions(module: nn.Module) -> int | None:
    """How many positions of text the module has learned vectors for; None where positions are computed."""
    tables = (
        m
        for path, m in module.named_modules()
        if path.rpartition(".")[2] in POSITION_TABLES and not _OTHER_STACKS & set(path.split("."))
    )
    rows = [table.num_embeddings for table in tables if isinstance(table, nn.Embedding)]
    # OPT's table holds two rows more than it has positions, so the config's number counts where there is one.
    configured = getattr(getattr(module, "config", None), "max_position_embeddings", None)
    return min([*rows, *([configured] if isinstance(configured, int) else [])]) if rows else None


def _resolve(config: Config, family: str) -> Any:
    """transformers' config object, and its code for the family imported.

    Imported only within `without_initialisers`, its modules would keep the stand-ins for good.
    """
    try:
        import transformers
        from transformers import modeling_utils  # noqa: F401
    except ImportError as error:
        raise Refused("transformers is not installed") from error
    if family not in transformers.CONFIG_MAPPING:
        near = difflib.get_close_matches(family, list(transformers.CONFIG_MAPPING), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise Refused(f"transformers {transformers.__version__} knows no model_type {family!r}{hint}")
    _check_heads(config, family)
    fields = {name: value for name, value in config.items() if name not in STORAGE_FIELDS}
    with _refusals(family):
        settings = transformers.CONFIG_MAPPING[family].from_dict(copy.deepcopy(fields))
        _ = class_for(settings, transformers)  # The lookup imports the family's code.
    return settings


def _check_heads(config: Config, family: str) -> None:
    if family in WITHOUT_HEAD_DIM and config.get("head_dim") is not None:
        at = shape(config, family)
        if at.n_head * at.d_head != at.d_model:
            raise Refused(f"transformers' {family} has no head_dim: {at.n_head} x {at.d_head} is not {at.d_model}")


def _construct(settings: Any, attention: Attention, dtype: torch.dtype) -> nn.Module:
    import transformers

    with _refusals(settings.model_type):
        known = class_for(settings, transformers)
        module: nn.Module = known._from_config(settings, attn_implementation=attention, dtype=dtype)
    return module


@contextmanager
def _refusals(family: str) -> Iterator[None]:
    """Turns what transformers raises at a config it does not take into one line."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ImportError,
        AssertionError,
        StrictDataclassError,
    ) as error:
        raise Refused(f"transformers refuses this {family}: {' '.join(str(error).split())}") from error
