"""Writes `symflops/architectures/defaults.json`: every family's class, and its config's fields with their defaults.

``python benchmarks/config_defaults.py``: read from the config classes of the installed transformers, so that a
config.json that leaves out what equals a default is understood without it. A test compares the file with the classes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent.parent / "symflops" / "architectures" / "defaults.json"
# Fields that say how a model is trained or run, not what it is made of.
NO_STRUCTURE = re.compile(
    r"drop|init|_eps|epsilon|use_cache|token_id|summary|aux_loss|output_router|suppress|mask_|pretraining|range"
    r"|apply_spec|time_step_(min|max|floor|limit|scale)|residual_in|rescale|classifier|max_distance|scale_attn"
)


def fields(config_class: Any) -> dict[str, Any]:
    """The fields that a config class declares, with their defaults; those of configs inside it under their names."""
    import transformers

    base = {each.name for each in dataclasses.fields(transformers.PreTrainedConfig)} - {"tie_word_embeddings"}
    declared = {
        each.name: each.default
        for each in dataclasses.fields(config_class)
        if each.name not in base | config_class.sub_configs.keys() and not NO_STRUCTURE.search(each.name)
    }
    declared.setdefault("tie_word_embeddings", getattr(config_class(), "tie_word_embeddings", None))
    inner = {
        name: {"model_type": part.model_type, **fields(part)} for name, part in sorted(config_class.sub_configs.items())
    }
    return {name: value for name, value in declared.items() if value is not dataclasses.MISSING} | inner


def entry(family: str) -> dict[str, Any]:
    """One family's fields, and the other names that they go by; some classes declare a field by one of those."""
    import transformers

    from symflops.tracing.classes import class_for

    config_class = transformers.CONFIG_MAPPING[family]
    aliases = dict(sorted(config_class.attribute_map.items()))
    own = {aliases.get(name, name): default for name, default in fields(config_class).items()}
    return {"class": class_for(config_class(), transformers).__name__, "fields": own, "aliases": aliases}


def main() -> None:
    """Write the file for every family that symflops knows."""
    import transformers

    from symflops.architectures import FAMILIES

    head = f'{{"transformers": {json.dumps(transformers.__version__)}, "families": {{\n'
    lines = (f" {json.dumps(name)}: {json.dumps(entry(name), sort_keys=True)}" for name in sorted(FAMILIES))
    FILE.write_text(head + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
