"""Targets: which unmodified model is meant, in which sizes it can vary, and how it is built at given ones.

A target is a class of the installed transformers (`hf:LlamaForCausalLM`, `hf:LlamaConfig`, `hf:llama`), a
config.json, or a function in a user's own file (`path/to/model.py:factory`). Nothing is fetched, and no file is run
but the one named.
"""

from __future__ import annotations

from pathlib import Path

from symflops.architectures.names import Meanings
from symflops.errors import ConfigError
from symflops.tracing import factories, pretrained
from symflops.tracing.factories import Choice, Factory
from symflops.tracing.inputs import inputs as from_signature
from symflops.tracing.target import EAGER, UNCHANGED, Inputs, Kernels, Target


def resolve(
    target: str | Factory | Target,
    overrides: Meanings = UNCHANGED,
    sizes: Choice = None,
    inputs: Inputs = from_signature,
) -> Target:
    """The target that is meant: ``hf:…``, a path to a config.json, ``path/to/model.py:factory``, a function, or itself.

    ``overrides`` gives fields (or a factory's parameters) another meaning in the notation than the table of
    `symflops.architectures.names`; a field of a config inside another is named with its path, as in
    ``vision_config.hidden_size``. ``sizes`` chooses the parameters of a function that vary; ``inputs`` makes the
    arguments of one call. Raises `ConfigError` for a target that does not exist or cannot be read, `UnknownName` for
    an override of a field that it lacks.

    >>> target = resolve("hf:gpt2")
    >>> target.name, target.dimensions["d_head"]
    ('hf:GPT2LMHeadModel', 'n_embd/n_head')
    """
    if isinstance(target, Target):
        return target
    if callable(target):
        name = getattr(target, "__qualname__", type(target).__name__)
        return factories.of_function(target, name, overrides, sizes, inputs)
    if target.lower().startswith("hf:"):
        return pretrained.of_name(target[3:].strip(), overrides, inputs)
    file, colon, factory = target.rpartition(":")
    if colon and file.endswith(".py"):
        return factories.of_file(Path(file), factory, overrides, inputs)
    if target.endswith(".json") or Path(target).is_dir():
        return pretrained.of_json(Path(target), overrides, inputs)
    raise ConfigError(
        f"unknown target {target!r}; give hf:NAME (a model class, config class or model_type of transformers), "
        "a path to a config.json, or path/to/model.py:factory"
    )


__all__ = ["EAGER", "UNCHANGED", "Choice", "Factory", "Inputs", "Kernels", "Target", "resolve"]
