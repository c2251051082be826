"""What papers call things in tables, where nothing says it: used to read a table of which only rows are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

SIZES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "n_layer": ("n_layers", "layers", "num_layers", "n_layer", "num_hidden_layers", "L", "l"),
        "d_model": ("d_model", "hidden_size", "hidden", "width", "h", "d"),
        "n_head": ("n_heads", "heads", "n_head", "num_heads", "num_attention_heads", "H", "a", "n_h"),
        "n_kv_head": ("kv_heads", "n_kv_heads", "n_kv_head", "num_key_value_heads", "K", "n_g"),
        "d_head": ("d_head", "head_dim", "kv_size", "key_size", "head_width", "hd", "Q", "d_h"),
        "d_ff": ("d_ff", "ffw_size", "ffn", "ff", "mlp_size", "intermediate_size", "dff", "F", "f", "mlp"),
        "n_vocab": ("n_vocab", "vocab", "vocab_size", "vocabulary", "V", "v"),
        "n_seq": ("n_seq", "seq", "seq_len", "seqlen", "sequence", "T", "s", "S"),
        "n_ctx": ("n_ctx", "ctx", "context", "n_positions", "T", "s", "S"),
        "n_batch": ("n_batch", "batch", "batch_size", "gbs", "B", "b"),
        "n_device": ("gpus", "n_gpus", "devices", "chips", "n"),
        "n_data": ("dp", "Nd", "N_d"),
        "n_tensor": ("tp", "t", "mp"),
        "n_pipeline": ("pp", "p"),
        "r_lora": ("r", "rank"),
    }
)
"""For each size of the notation the names that tables and formulas give it, the clearest first."""
FIGURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "params": ("params", "n_params", "parameters", "total_params", "N", "P", "Psi", "size"),
        "non_embedding": ("non_embedding", "non_emb", "params_non_embedding"),
        "tokens": ("tokens", "n_tokens", "D", "T"),
        "flops": ("flops", "total_flops", "train_flops", "training_flops", "compute", "C"),
        "gmacs": ("gmacs", "GMACs", "macs"),
        "days": ("days",),
        "mfu": ("mfu", "MFU"),
        "hfu": ("hfu", "HFU"),
        "hours": ("gpu_hours", "hours"),
        "tflops": ("tflops_per_gpu", "TFLOPs", "X_tflops", "X"),
    }
)
"""The same of what tables print of them."""
_PRINTED = ("_printed", "_exact_printed", "_exact")
_UNITS: Mapping[str, str] = MappingProxyType(
    {"M": "M", "B": "B", "K": "K", "T": "T", "GB": "GB", "TB": "TB", "MB": "MB", "pct": "%", "percent": "%"}
)

_RATES: Mapping[str, str] = MappingProxyType({"gmacs": "G", "gflops": "G", "tflops": "T", "pflops": "P"})


def plain_name(column: str) -> str:
    """A column's name without what says that it is printed, or its unit.

    >>> plain_name("params_M_printed"), plain_name("mfu_pct"), plain_name("d_model")
    ('params', 'mfu', 'd_model')
    """
    for ending in _PRINTED:
        column = column.removesuffix(ending)
    start, _, last = column.rpartition("_")
    return start if start and last in _UNITS else column


def unit_of(column: str) -> str:
    """The unit that a column's name says.

    >>> unit_of("params_M_printed"), unit_of("tokens_B"), unit_of("gmacs"), unit_of("n_layers")
    ('M', 'B', 'G', '')
    """
    for ending in _PRINTED:
        column = column.removesuffix(ending)
    last = column.rpartition("_")[2]
    prefix = next((scale for word, scale in _RATES.items() if word in column.split("_")), "")
    return prefix or (_UNITS.get(last, "") if last != column else "")


def meant(name: str, known: Iterable[str]) -> str:
    """Which of the known names a letter of a formula means: one that calls the same thing so, or none.

    >>> meant("L", ["n_layers", "d_model"]), meant("V", ["hidden"]), meant("N", ["params_M_printed"])
    ('n_layers', '', 'params_M_printed')
    """
    by_name = {plain_name(each): each for each in reversed([*known])}
    for group in (*SIZES.values(), *FIGURES.values()):
        if name in group:
            found = [by_name[each] for each in group if by_name.get(each, name) != name]
            if found:
                return found[0]
    return ""
