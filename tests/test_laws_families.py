"""No false alarms: symflops' own closed forms, as someone's cost, break no law, of any family and claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from family_configs import FAMILIES as CHOICES
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from symflops.architectures import FAMILIES, architecture
from symflops.laws.catalogue import LAWS
from symflops.laws.catalogue.predicted import predicted
from symflops.laws.claiming import read_claims
from symflops.laws.cost import Case, Cost

_LLAMA = {**CHOICES["llama"], "mlp_bias": [False]}
_LATENT: Mapping[str, Sequence[Any]] = {
    "num_hidden_layers": [3], "num_attention_heads": [4], "hidden_size": [24], "intermediate_size": [20],
    "vocab_size": [41], "first_k_dense_replace": [0, 1], "n_routed_experts": [4], "num_experts_per_tok": [2],
    "moe_intermediate_size": [8], "kv_lora_rank": [5], "q_lora_rank": [7, None], "qk_nope_head_dim": [4],
    "qk_rope_head_dim": [2], "v_head_dim": [3], "n_group": [1], "topk_group": [1], "n_shared_experts": [1, 2],
}  # fmt: skip
_HYBRID: Mapping[str, Sequence[Any]] = {
    "num_hidden_layers": [2, 3], "hidden_size": [48], "num_attention_heads": [4], "num_key_value_heads": [2],
    "intermediate_size": [20], "vocab_size": [41], "mamba_n_heads": [12], "mamba_d_head": [8], "mamba_n_groups": [4],
    "mamba_d_state": [5], "mamba_chunk_size": [4],
}  # fmt: skip
MORE: Mapping[str, Mapping[str, Sequence[Any]]] = {
    "mixtral": {**_LLAMA, "num_local_experts": [4], "num_experts_per_tok": [1, 2, 4], "sliding_window": [None, 5]},
    "olmoe": {**_LLAMA, "num_experts": [4], "num_experts_per_tok": [1, 3]},
    "gpt_oss": {**_LLAMA, "num_local_experts": [4], "num_experts_per_tok": [2], "sliding_window": [4], "head_dim": [6],
                "intermediate_size": [20]},
    "qwen2_moe": {**_LLAMA, "num_experts": [4], "num_experts_per_tok": [2], "moe_intermediate_size": [6],
                  "shared_expert_intermediate_size": [9]},
    "qwen3_moe": {**_LLAMA, "num_experts": [4], "num_experts_per_tok": [2], "moe_intermediate_size": [6]},
    "deepseek_v2": _LATENT, "deepseek_v3": _LATENT,
    "mamba": {"hidden_size": [48], "num_hidden_layers": [2], "state_size": [5], "conv_kernel": [3], "vocab_size": [31]},
    "mamba2": {"hidden_size": [48], "num_hidden_layers": [2], "state_size": [5], "num_heads": [12], "head_dim": [8],
               "n_groups": [4], "chunk_size": [4], "vocab_size": [31]},
    "bamba": {**_HYBRID, "attn_layer_indices": [[1]]},
    "falcon_h1": {**_HYBRID, "mamba_d_ssm": [96], "head_dim": [12]},
}  # fmt: skip
ALL = {**CHOICES, **MORE}
WORDS = (
    *("forward", "backward", "training pairs=exact", "pairs=half MAC", "pairs=none counts=all", "counts=feedforward"),
    *(
        "counts=+embedding,+position pairs=exact",
        "counts=all,-logits MAC",
        "recompute=full",
        "backward recompute=full MAC",
    ),
    *("recompute=selective pairs=half", "recompute=selective backward pairs=exact", "convention=palm"),
    *("convention=palm counts=-position forward", "convention=palm recompute=full pairs=none", "convention=kaplan"),
    *("convention=chinchilla", "convention=chinchilla pairs=half MAC", "convention=all-operations forward"),
    *("convention=all-operations", "convention=all-operations recompute=full", "convention=torch", "convention=macs"),
    *("convention=exact backward", "convention=megatron recompute=full"),
)
"""Claims of every kind of work, for a token, a sequence or a batch."""
CLAIMS: st.SearchStrategy[str] = st.one_of(
    st.builds("per={} {}".format, st.sampled_from(["token", "sequence", "batch"]), st.sampled_from(WORDS)),
    st.sampled_from(["params", "params counts=matmuls", *(f"cache_bytes per={per}" for per in ("token", "batch"))]),
)
LENGTHS = st.sampled_from([1, 2, 5, 8, 16])


def test_every_family_is_asked() -> None:
    assert set(ALL) == set(FAMILIES)


@pytest.mark.parametrize("family", ALL)
@settings(deadline=None, max_examples=3, phases=(Phase.generate,))
@given(st.data())
def test_closed_forms_break_no_law(family: str, data: st.DataObject) -> None:
    config = data.draw(st.fixed_dictionaries({name: st.sampled_from(list(each)) for name, each in ALL[family].items()}))
    model = architecture({"model_type": family, **config})
    n_seq = model.sizes["n_ctx"] if family in ("vit",) else data.draw(LENGTHS)
    case, (claims, _) = Case(model, data.draw(st.integers(1, 3)), n_seq), read_claims(data.draw(CLAIMS))
    cost = Cost("closed form", lambda at: predicted(claims, at), claims)
    found = [each for law in LAWS.values() if law.ask and law.asks and law.asks(claims) for each in law.ask(cost, case)]
    assert found and not [each for each in found if not each.holds]
