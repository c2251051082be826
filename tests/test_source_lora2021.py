"""LoRA's counts against real modules and by hand, and each accusation a second time."""

from __future__ import annotations

import pytest

from derivations.lora2021 import ADAPTERS, BITFIT, DEBERTA, DECODER, GPT3, LORA, PREFIX_LAYER
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.layers.lora import frozen
from symflops.measures import params, trainable_params
from symflops.notation import d_ff, d_model, n_ctx, n_head, n_layer, n_prefix, n_vocab, r_lora

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {n_layer: 3, d_model: 24, d_ff: 96, n_head: 4, n_vocab: 50, n_ctx: 32, r_lora: 5, n_prefix: 7}


def test_the_decoder_and_its_biases_are_those_of_gpt2() -> None:
    config = transformers.GPT2Config(n_layer=3, n_embd=24, n_head=4, vocab_size=50, n_positions=32)
    with torch.device("meta"):
        module = transformers.GPT2LMHeadModel(config)
    biases = sum(each.numel() for name, each in module.named_parameters() if name.endswith("bias"))
    assert params(DECODER).subs(SMALL) == sum(each.numel() for each in module.parameters())
    assert trainable_params(BITFIT).subs(SMALL) == biases
    assert trainable_params(frozen(DECODER)) == 0 and params(BITFIT) == params(DECODER)


def test_deberta_owns_what_the_module_owns() -> None:
    config = transformers.DebertaV2Config(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=96, vocab_size=50,
        relative_attention=True, position_buckets=256, max_relative_positions=-1, max_position_embeddings=512,
        share_att_key=True, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", position_biased_input=False,
        type_vocab_size=0, conv_kernel_size=3, conv_act="gelu",
    )  # fmt: skip
    with torch.device("meta"):
        module = transformers.DebertaV2Model(config)
    assert params(DEBERTA).subs(SMALL) == sum(each.numel() for each in module.parameters())


def test_methods_train_what_a_loop_over_layers_counts() -> None:
    layers, width, rank = 3, 24, 5
    lora = sum(rank * width + width * rank for _ in range(layers) for _ in ("q", "v"))
    adapters = sum(width * rank + rank + rank * width + width for _ in range(layers) for _ in range(2))
    assert trainable_params(LORA).subs(SMALL) == lora
    assert trainable_params(ADAPTERS).subs(SMALL) == adapters
    assert trainable_params(PREFIX_LAYER).subs(SMALL) == layers * width * 7


def test_accusations_a_second_time() -> None:
    medium, large = 24 * 2 * 2 * 1024 * 4, 36 * 2 * 2 * 1280 * 4
    assert (round(medium / 1e6, 2), round(large / 1e6, 2)) == (0.39, 0.74)
    assert (354_920_000 // 10**7, 774_030_000 // 10**7) == (35, 77)
    gpt2 = 24 * (12 * 1024**2 + 13 * 1024) + 2 * 1024 + (50257 + 1024) * 1024
    assert gpt2 == 354_823_168 and architecture_params("gpt2-medium") == gpt2
    gpt3 = 96 * (12 * 12288**2 + 13 * 12288) + 2 * 12288 + (50257 + 2048) * 12288
    assert params(DECODER).subs(GPT3) == gpt3 == 174_604_259_328
    assert round((gpt3 + 50257 * 12288) / 1e6, 1) == 175_221.8
    assert 96 * 12288 * 16 == 18_874_368 and (11 * 96 + 1) * 12288 == 12_988_416 and 12 * 96 * 12288 == 14_155_776
    assert 2 * (96 * 2 * 2 * 12288 * 4) == 37_748_736


def architecture_params(name: str) -> int:
    from symflops import architecture

    return architecture(name).params()


def test_the_table_holds_and_its_digits_are_held() -> None:
    report = verify("lora_params")
    assert report.holds and report.counts()["reproduces"] >= 18 and report.counts()["differs"] == 11
    faults = plant(report.tables[0])
    assert sum(fault.caught for fault in faults) / len(faults) > 0.97
