"""Convolutions, steps of decoding beside an encoder, configs that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from sympy import expand

from symflops import SymflopsError, architecture
from symflops.architectures import Architecture
from symflops.architectures.runs import decode_step
from symflops.cli import run
from symflops.errors import ConfigError, DeclarationError, SizeError
from symflops.layers.convolution import Convolution, over_time, patch_convolution
from symflops.layers.linear import BIAS
from symflops.measures import flops, params
from symflops.networks import each_step
from symflops.notation import (
    d_head,
    d_model,
    d_patch,
    n_batch,
    n_channel,
    n_head,
    n_layer_decoder,
    n_mel,
    n_seq,
    n_side,
    n_source,
)  # fmt: skip

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from encoder_families import ENCODERS, TRANSLATORS  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from symflops.tracing.check import check_model  # noqa: E402
from symflops.tracing.classes import class_for  # noqa: E402

# Convolutions.


@pytest.mark.parametrize("taps, stride, positions", [(3, 1, 8), (3, 2, 4), (2, 2, 5), (5, 3, 3)])
def test_a_convolution_over_time_is_torchs(taps: int, stride: int, positions: int) -> None:
    channels, filters, batch = 3, 5, 2
    real = torch.nn.Conv1d(channels, filters, taps, stride, padding=(taps - 1) // 2, device="meta")
    # Frames so many that windows start stride apart; the padding makes up for what is missing at the ends.
    frames = torch.empty(batch, channels, positions * stride, device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        out = real(frames)
    with FlopCounterMode(display=False) as backward:
        out.sum().backward()
    declared = over_time("conv", n_mel, taps, stride, n_source)
    sizes = {n_mel: channels, n_source: out.shape[-1], d_model: filters, n_batch: batch}
    assert flops(declared, "torch").expr.subs(sizes) == forward.get_total_flops()
    assert flops(declared, "torch", "backward").expr.subs(sizes) == backward.get_total_flops()
    met = sum(1 for _ in range(batch) for _ in range(out.shape[-1]) for _ in range(taps * channels * filters))
    assert declared.work["mac", "forward"].subs(sizes) == met
    shapes = [tuple(int(size.subs(sizes)) for size in each.shape) for each in declared.parameters]
    assert sorted(map(sorted, shapes)) == sorted(sorted(each.shape) for each in real.parameters())
    if out.shape[-1] == positions:
        assert declared.elements_read.subs(sizes) == frames.numel() + sum(each.numel() for each in real.parameters())


def test_a_convolution_of_patches_is_torchs() -> None:
    side, patch, channels, width, batch = 4, 3, 2, 5, 2
    real = torch.nn.Conv2d(channels, width, patch, patch, device="meta")
    with FlopCounterMode(display=False) as counter:
        real(torch.empty(batch, channels, side * patch, side * patch, device="meta")).sum().backward()
    declared = patch_convolution("patch", BIAS)
    sizes = {n_side: side, d_patch: patch, n_channel: channels, d_model: width, n_batch: batch}
    assert flops(declared, "torch", "training").expr.subs(sizes) == counter.get_total_flops()
    assert params(declared).subs(sizes) == sum(each.numel() for each in real.parameters())
    assert declared.saved[0][1].subs(sizes) == batch * channels * (side * patch) ** 2


@pytest.mark.parametrize("sentence", ["x[a b] y[b c] -> z[a c]", "x[a] weight[a b] + bias[c] -> y[b]"])
def test_what_is_no_convolution_is_refused(sentence: str) -> None:
    with pytest.raises(DeclarationError):
        Convolution("conv", sentence, {"a": 2, "b": 3, "c": 4})


# Decoding.

SMALL: dict[str, dict[str, Any]] = {
    "t5": {
        "model_type": "t5", "num_layers": 2, "num_decoder_layers": 3, "num_heads": 3, "d_model": 10, "d_kv": 4,
        "d_ff": 7, "vocab_size": 41,
    },
    "bart": {
        "model_type": "bart", "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "d_model": 12,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 7, "decoder_ffn_dim": 9, "vocab_size": 41,
        "max_position_embeddings": 19,
    },
    "whisper": {
        "model_type": "whisper", "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "d_model": 12,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 7, "decoder_ffn_dim": 9, "vocab_size": 41, "num_mel_bins": 5,
        "max_source_positions": 6, "max_target_positions": 19, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
        "decoder_start_token_id": 0,
    },
    "vit": {
        "model_type": "vit", "num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 15,
        "intermediate_size": 7, "image_size": 8, "patch_size": 2,
    },
}  # fmt: skip


def step_counted(config: dict[str, Any], source: int, past: int) -> tuple[int, int]:
    """What a real decoder does for one token after others, and the elements of its cache."""
    settings = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    module = class_for(settings, transformers)._from_config(settings, attn_implementation="eager").eval()
    sound = config["model_type"] == "whisper"
    read = torch.zeros(2, 5, 2 * source) if sound else torch.zeros(2, source, dtype=torch.long)
    main = {"input_features" if sound else "input_ids": read}
    with torch.no_grad():
        filled = module(**main, decoder_input_ids=torch.zeros(2, past, dtype=torch.long), use_cache=True)
        heard = transformers.modeling_outputs.BaseModelOutput(filled.encoder_last_hidden_state)
        with FlopCounterMode(display=False) as counter:
            after = module(
                encoder_outputs=heard,
                decoder_input_ids=torch.zeros(2, 1, dtype=torch.long),
                past_key_values=filled.past_key_values,
                use_cache=True,
            )
    caches = (after.past_key_values.self_attention_cache, after.past_key_values.cross_attention_cache)
    kept = sum(layer.keys.numel() + layer.values.numel() for cache in caches for layer in cache.layers)
    return counter.get_total_flops(), kept


@pytest.mark.parametrize("family", TRANSLATORS)
def test_a_step_of_decoding_is_the_real_decoders(family: str) -> None:
    """The encoder, and keys and values of its tokens, are computed once; the decoder meets all of them each time."""
    model, source, past = architecture(SMALL[family]), 6, 4
    counted, kept = step_counted(SMALL[family], source, past)
    step = flops(each_step(model.at_run(decode_step())), "torch").expr
    assert model.at(step, n_batch=2, n_seq=source, n_past=past) == counted
    assert model.at(step, n_batch=2, n_seq=source, n_past=past + 1) != counted
    if family == "whisper":
        assert model.cache_bytes(2, past + 1, 1) == kept


@pytest.mark.parametrize("family", TRANSLATORS)
def test_keys_and_values_of_the_source_are_made_once(family: str) -> None:
    whole = architecture({"model_type": family}).network
    once = expand(flops(whole, "torch").expr - flops(each_step(whole), "torch").expr)
    tokens, width = (n_source if family == "whisper" else n_seq), (n_head * d_head if family == "t5" else d_model)
    assert once.coeff(n_layer_decoder) == 2 * 2 * n_batch * tokens * d_model * width


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoder_does_not_decode(family: str) -> None:
    model = architecture({"model_type": family})
    with pytest.raises(ConfigError, match="does not decode with a cache"):
        model.at_run(decode_step())
    assert model.cache_bytes(3) == 0


# Configs.

BAD: dict[str, dict[str, Any]] = {
    "decoder of the kind of BERT": {"model_type": "bert", "is_decoder": True},
    "cross attention in BERT": {"model_type": "roberta", "is_decoder": True, "add_cross_attention": True},
    "tables apart": {"model_type": "bert", "tie_word_embeddings": False},
    "tables of BART apart": {"model_type": "bart", "tie_word_embeddings": False},
    "heads of two counts": {"model_type": "bart", "decoder_attention_heads": 8},
    "another pooler": {"model_type": "vit", "pooler_output_size": 9},
    "oblong image": {"model_type": "vit", "image_size": [224, 112]},
    "oblong patch": {"model_type": "vit", "patch_size": [16, 8]},
    "image that is no number": {"model_type": "clip", "vision_config": {"image_size": "large"}},
    "patches that do not fit": {"model_type": "vit", "patch_size": 15},
    "heads of an image": {"model_type": "clip", "vision_config": {"num_attention_heads": 7}},
    "two words": {"model_type": "t5", "feed_forward_proj": "gated-gelu-twice"},
    "not gated": {"model_type": "t5", "feed_forward_proj": "open-gelu"},
    "no word": {"model_type": "t5", "feed_forward_proj": 3},
    "no such activation": {"model_type": "t5", "feed_forward_proj": "gated-sparkle"},
    "an older form of CLIP's config": {"model_type": "clip", "text_config_dict": {"hidden_size": 64}},
    "a part that is no config": {"model_type": "clip", "vision_config": 3},
}


@pytest.mark.parametrize("name", BAD)
def test_a_config_that_is_not_supported_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SymflopsError) as refusal:
        architecture(BAD[name]).params()
    assert "\n" not in str(refusal.value)


def test_one_size_in_two_fields_is_set_in_both() -> None:
    model = architecture("bart-base").with_sizes(n_head=6)
    assert model.config["encoder_attention_heads"] == model.config["decoder_attention_heads"] == 6
    assert (
        architecture("clip-vit-b-32").with_sizes(n_layer_vision=24).config["vision_config"]["num_hidden_layers"] == 24
    )
    with pytest.raises(ConfigError, match="follows from other fields"):
        architecture("vit-b-16").with_sizes(n_side=7)


def test_an_image_has_one_length(capsys: pytest.CaptureFixture[str]) -> None:
    model = architecture("vit-b-16")
    assert model.length() == 14 * 14 + 1 == model.length(197)
    assert model.flops() == model.flops(1, 197)
    with pytest.raises(SizeError, match="197 tokens"):
        model.flops(1, 196)
    assert run(["evaluate", "vit-b-16", "--seq", "7"]) == 2 == run(["check", "vit-b-16", "--seq", "7"])
    assert "197 tokens" in capsys.readouterr().err
    assert run(["evaluate", "vit-b-16"]) == run(["evaluate", "t5-small"]) == 0


def test_a_longer_encoder_costs_a_decoder_no_more_than_its_attention() -> None:
    model = architecture("whisper-tiny")
    longer = model.with_sizes(n_source=3000)
    steps = [flops(each_step(each.at_run(decode_step())), "torch").expr for each in (model, longer)]
    less, more = (each.at(step, n_batch=1, n_past=9) for each, step in zip((model, longer), steps, strict=True))
    assert more - less == 4 * 1500 * 384 * 4


@pytest.mark.parametrize("name", ["bert-base-uncased", "clip-vit-b-32"])
def test_a_released_model_is_its_real_module(name: str) -> None:
    model: Architecture = architecture(name).with_sizes(n_layer=1)
    assert check_model(model, 2, model.length()).holds


def test_a_text_may_be_longer_than_the_sound_beside_it() -> None:
    assert check_model(architecture(SMALL["whisper"]), 2, 19).holds
    with pytest.raises(SizeError, match="19 learned positions"):
        check_model(architecture(SMALL["whisper"]), 2, 20)
