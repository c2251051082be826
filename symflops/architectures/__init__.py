"""Architectures from a name, a dict, a path to a config.json, or a config object.

>>> gpt2 = architecture("gpt2")
>>> gpt2.params(), gpt2.params("non_embedding")
(124439808, 85056000)
>>> f"{gpt2.flops(n_batch=1, n_seq=1024, convention='torch'):,}"
'291,648,307,200'
"""

from symflops.architectures.architecture import Architecture, generation
from symflops.architectures.families import FAMILIES
from symflops.architectures.family import Family
from symflops.architectures.presets import presets
from symflops.architectures.reading import architecture

__all__ = ["FAMILIES", "Architecture", "Family", "architecture", "generation", "presets"]
