"""Every family of architectures, by the ``model_type`` of its configs.

>>> FAMILIES["llama"].citation[:23]
'Touvron et al., LLaMA, '
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from symflops.architectures.families import audio, encoders, falcon, gpt, llama, translators, vision
from symflops.architectures.family import Family

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for part in (gpt, falcon, llama, encoders, translators, vision, audio)
        for family in part.FAMILIES
    }
)
