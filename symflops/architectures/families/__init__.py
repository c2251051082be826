"""Every family of architectures, by the ``model_type`` of its configs.

>>> FAMILIES["llama"].citation[:23]
'Touvron et al., LLaMA, '
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from symflops.architectures.families import (
    audio,
    deepseek,
    encoders,
    experts,
    falcon,
    gpt,
    hybrid,
    llama,
    mamba,
    translators,
    vision,
)
from symflops.architectures.family import Family

_ALL = (gpt, falcon, llama, experts, deepseek, encoders, translators, vision, audio, mamba, hybrid)
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for families in _ALL for family in families.FAMILIES}
)
