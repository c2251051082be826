"""Models that fulfil conditions: sizes by formulas of other sizes, fields of the config by values.

>>> from symflops.architectures import architecture
>>> conditioned(architecture("gpt2"), {"d_ff": "3*d_model", "tie_word_embeddings": False}).sizes["d_ff"]
2304
"""

from __future__ import annotations

from symflops.architectures import Architecture
from symflops.errors import SymflopsError
from symflops.laws.adapters import sized
from symflops.laws.claiming import Where
from symflops.laws.cost import Case
from symflops.laws.drawing import kept
from symflops.notation import TERMS


def conditioned(model: Architecture, where: Where) -> Architecture:
    """A model with what has to be so made so, where its config can. Raises `SymflopsError` where sizes do not fit."""
    fields = {name: value for name, value in where.items() if name not in TERMS and model.config.get(name) != value}
    model = kept({**model.config, **fields}) if fields else model
    for name, formula in where.items():
        if name in model.table and model.table[name].name:
            model = _resized(model, name, formula)
    return model


def _resized(model: Architecture, name: str, formula: str) -> Architecture:
    size = sized(formula, model.sizes)
    if size == model.sizes[name]:
        return model
    if size.denominator != 1:
        raise SymflopsError(f"{name} = {formula} is {size} in {model}")
    return Case(model).with_sizes(**{name: int(size)}).model
