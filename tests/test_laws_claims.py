"""What a cost function may claim: words, price lists, roles, recomputation; and which sizes laws may change."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from symflops import architecture
from symflops.architectures import FAMILIES
from symflops.architectures.fields import completed
from symflops.conventions import CONVENTIONS
from symflops.laws.catalogue.asking import alone
from symflops.laws.catalogue.predicted import as_convention, predicted
from symflops.laws.catalogue.subjects import network, operations
from symflops.laws.claiming import read_claims, told
from symflops.laws.cost import MATMULS, ROLES, Case, Recompute
from symflops.laws.drawing import probe
from symflops.operations import Contraction


@pytest.mark.parametrize(
    "text",
    [
        "flops forward per=batch pairs=half MAC counts=qkv,logits families=llama d_ff=4*d_model",
        "params",
        "params counts=-embedding",
        "cache_bytes per=sequence tie_word_embeddings=false",
        "recompute=selective backward",
        "counts=state_space,scan families=mamba",
        *(f"convention={name} per=sequence" for name in CONVENTIONS),
        "counts=all,-position convention=palm families=gpt2",
    ],
)
def test_claims_are_read_as_they_are_told(text: str) -> None:
    claims, where = read_claims(text)
    assert read_claims(told(claims, where)) == (claims, where)


def test_words_are_short_for_a_price_list() -> None:
    """In whichever order they are said."""
    assert read_claims("counts=-position convention=palm")[0].counts == set(ROLES) - {"position"}
    assert read_claims("counts=-norm params")[0].counts == set(ROLES) - {"norm"}
    assert read_claims("convention=exact")[0].pairs == "exact" and read_claims("convention=macs")[0].unit == "MAC"
    halved = as_convention(read_claims("convention=chinchilla pairs=half MAC counts=all,-logits")[0])
    assert halved.left_out == {"logits"} and halved.price("mac", "forward", "mix") == Fraction(1, 2)
    assert halved.price("element", "forward", "softmax") == Fraction(3, 4)
    assert halved.price("mac", "forward", "qkv") == 1 and halved.backward == "twice"


def test_every_role_can_be_claimed_and_each_with_a_matmul_is_by_default() -> None:
    found = {each for family in FAMILIES for each in operations(network(family))}
    assert {each.role for each in found} == set(ROLES)
    assert {each.role for each in found if isinstance(each, Contraction)} == MATMULS


@pytest.mark.parametrize("family", FAMILIES)
def test_no_size_is_written_where_a_config_has_no_field_for_it(family: str) -> None:
    """GPT-2's heads have no width of their own, which a tool would never see; a preset that says one keeps it."""
    known = {*completed({"model_type": family}), "model_type"}
    case = probe(family, 0)
    for size in case.sizes:
        other = alone(case, **{size: 2 * case.sizes[size]})
        assert other is None or set(other.model.config) <= known | set(case.model.config)
    own = Case(architecture("gpt3-13b"))
    wide = alone(own, d_model=2 * own.sizes["d_model"])
    assert wide is not None and wide.sizes["d_head"] == own.sizes["d_head"]


@pytest.mark.parametrize("what", ["selective", "full"])
def test_what_is_recomputed_is_what_a_real_module_runs_again(what: Recompute) -> None:
    """GPT-2 in torch, its layers or the cores of its attentions under checkpoint, counted while they run backward.

    All of a core: by default torch stops at the last value that a gradient needs, and spares the last matmul.
    """
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
    from torch.utils.flop_counter import FlopCounterMode
    from transformers.models.gpt2 import modeling_gpt2

    config = transformers.GPT2Config(n_layer=2, n_head=3, n_embd=12, n_inner=20, vocab_size=31, n_positions=16,
                                     bos_token_id=0, eos_token_id=0)  # fmt: skip
    config._attn_implementation = "eager"
    module, core = transformers.GPT2LMHeadModel(config).train(), modeling_gpt2.eager_attention_forward
    tokens = torch.randint(31, (2, 7))

    def again(*given: Any, **more: Any) -> Any:
        return checkpoint(core, *given, use_reentrant=False, **more)

    early = set_checkpoint_early_stop(False)
    with pytest.MonkeyPatch.context() as patch, early, FlopCounterMode(display=False) as counted:
        if what == "full":
            module.activation_checkpointing_enable({"use_reentrant": False})
        else:
            patch.setattr(modeling_gpt2, "eager_attention_forward", again)
        module(tokens, use_cache=False).logits.sum().backward()
    case = Case(architecture(config.to_dict()), 2, 7)
    claims, _ = read_claims(f"convention=torch per=batch recompute={what}")
    assert counted.get_total_flops() == predicted(claims, case)
    assert predicted(claims, case) > predicted(replace(claims, recompute="none"), case)
