"""Every family of architectures, by the ``model_type`` of its configs.

>>> FAMILIES["llama"].citation[:23]
'Touvron et al., LLaMA, '
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from symflops.architectures.families import deepseek, experts, falcon, gpt, llama
from symflops.architectures.family import Family

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for families in (gpt, falcon, llama, experts, deepseek) for family in families.FAMILIES}
)
