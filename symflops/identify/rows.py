"""What is known of a printed figure: the figure, and the sizes beside it by the names of the notation.

>>> row("117M", n_layers=12, hidden_size=768).sizes
{'n_layer': 12, 'd_model': 768}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from symflops.claims.figures import Figure, figure
from symflops.errors import SizeError, UnknownName
from symflops.notation import TERMS
from symflops.sizes import positive_integer

_ALIASES = {
    "n_layer": "layers n_layers num_layers num_hidden_layers n_block n_blocks l L",
    "d_model": "hidden hidden_size width n_embd dim d h",
    "d_ff": "ffw_size ffw ffn mlp intermediate_size d_inner dff d_mlp ffn_dim",
    "n_head": "heads n_heads num_heads num_attention_heads a",
    "n_kv_head": "kv_heads n_kv_heads num_kv_heads num_key_value_heads n_kv",
    "d_head": "kv_size key_size head_dim head_size dim_head hd",
    "n_vocab": "vocab vocab_size n_tokens_vocab V",
    "n_ctx": "ctx context n_positions context_length max_position_embeddings max_seq_len",
    "n_seq": "seq seq_len sequence_length seqlen T",
    "n_expert": "num_experts num_local_experts experts",
    "n_active": "num_experts_per_tok top_k",
    "d_patch": "patch_size",
}
ALIASES: Mapping[str, str] = MappingProxyType(
    {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}
)
"""What tables call sizes, and our name of each. Letters of several meanings, such as H, are left out."""


@dataclass(frozen=True)
class Row:
    """A printed figure and the sizes known beside it; ``label`` is what the source calls the row."""

    label: str
    figure: Figure
    sizes: Mapping[str, int]

    @property
    def bounds(self) -> tuple[Fraction, Fraction]:
        """The smallest and the largest number that is printed so."""
        return self.figure.low, self.figure.high


def row(printed: str, unit: str = "", label: str = "", **sizes: int) -> Row:
    """A row of sizes by any of their names.

    Raises `UnknownName` for a size that has no such name, `SizeError` for one that is no positive integer or given
    twice, `FigureError` for what is no figure.
    """
    return Row(label or printed, figure(printed, unit), named(sizes.items()))


def named(sizes: Iterable[tuple[str, Any]]) -> dict[str, int]:
    """Sizes under the names of the notation.

    >>> named([("kv_size", 64)])
    {'d_head': 64}
    >>> named([("kv_sise", 64)])
    Traceback (most recent call last):
    symflops.errors.UnknownName: unknown size 'kv_sise'; did you mean 'kv_size' ...
    """
    found: dict[str, int] = {}
    for given, value in sizes:
        name = size_name(given)
        if name in found:
            raise SizeError(f"{name} is given twice, once as {given}; give each size once")
        found[name] = positive_integer(name, value)
    return found


def size_name(given: str) -> str:
    """Our name of a size. Raises `UnknownName` for what is none."""
    name = ALIASES.get(given, given)
    if name not in TERMS:
        raise UnknownName("size", given, {*TERMS, *ALIASES})
    return name
