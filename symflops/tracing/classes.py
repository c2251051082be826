"""Which class of transformers a config's family is known for."""

from __future__ import annotations

from typing import Any

from symflops.errors import ConfigError


def is_model(found: Any, library: Any) -> bool:
    """Whether something is a model that can be built from a config."""
    return bool(
        isinstance(found, type)
        and issubclass(found, library.PreTrainedModel)
        and getattr(found, "config_class", None) is not None
        and not found.__name__.endswith("PreTrainedModel")
    )


def class_for(config: Any, library: Any) -> Any:
    """The class that a family is known for: with its language head where it has one."""
    auto = library.models.auto.modeling_auto
    encoder_decoder = ("MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING")
    alone = ("MODEL_FOR_MASKED_LM_MAPPING", "MODEL_FOR_CAUSAL_LM_MAPPING")
    for mapping in (*(encoder_decoder if config.is_encoder_decoder else alone), "MODEL_MAPPING"):
        known = getattr(auto, mapping)
        if type(config) in known:
            found = known[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise ConfigError(f"transformers has no model for {type(config).__name__}; name a class, as in hf:LlamaForCausalLM")
