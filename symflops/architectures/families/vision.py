"""Vision transformers: an image is a sequence of patches behind a class token; CLIP sets one beside a text tower."""

from __future__ import annotations

from collections.abc import Mapping

from sympy import Add, Expr, Integer

from symflops.architectures import stacks
from symflops.architectures.families.encoders import HEADS
from symflops.architectures.family import Family
from symflops.architectures.fields import Config, Field, defaults
from symflops.architectures.runs import Run
from symflops.architectures.stacks import LEARNED
from symflops.architectures.towers import IMAGE, once, part, patches_of, reads_whole_sequences, within
from symflops.errors import ConfigError
from symflops.layers.attention import Heads
from symflops.layers.convolution import patch_convolution
from symflops.layers.embedding import embedding, table
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.heads import pooler, similarity, unit_length
from symflops.layers.linear import BIAS, NO_BIAS, linear
from symflops.layers.norm import layer_norm, residual
from symflops.layers.positions import added_positions, class_token
from symflops.layers.stream import Stream
from symflops.masks import AttendedPairs
from symflops.networks import Block
from symflops.notation import d_ff, d_model, d_project, n_layer, symbol

d_model_vision, d_ff_vision = symbol("d_model_vision"), symbol("d_ff_vision")
n_layer_vision, n_head_vision = symbol("n_layer_vision"), symbol("n_head_vision")


def _vit(config: Config, run: Run) -> Expr:
    reads_whole_sequences(config, run)
    if config.get("pooler_output_size") not in (None, config["hidden_size"]):
        raise ConfigError("a pooler of another width than hidden_size is not supported; use symflops trace")
    run, stream = Run(IMAGE, IMAGE, run.attention), Stream(d_model, IMAGE)
    attention = stacks.attention(run, HEADS, run.full(), stacks.bias(config, "qkv_bias"), BIAS)
    feedforward = plain_feedforward(config["hidden_act"], BIAS, stream=stream)
    return Add(
        Block("Embed", Add(patch_convolution("patch", BIAS), class_token(stream), added_positions(stream))),
        n_layer * stacks.layer(run, layer_norm, attention, feedforward),
        layer_norm("norm_final", stream),
        pooler(config["pooler_act"], stream),
    )


VIT = Family(
    "vit",
    "Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929",
    _vit,
    """
    patch            embeddings.patch_embeddings.projection
    class_token      embeddings:cls_token
    position         embeddings:position_embeddings
    q k v            layers.*.attention.{}_proj
    scores mix       layers.*.attention
    project          layers.*.attention.o_proj
    norm_attention   layers.*.layernorm_before
    norm_feedforward layers.*.layernorm_after
    up               layers.*.mlp.fc1
    down             layers.*.mlp.fc2
    norm_final       layernorm
    pooler           pooler.dense
    """,
    fields={"n_side": patches_of(), "n_ctx": Field("", IMAGE)},
)


def _refuse_other_parts(config: Config) -> None:
    """Older configs repeat their parts as ``text_config_dict``, which counts instead where it says something else."""
    for name in ("text_config", "vision_config"):
        repeated = config.get(f"{name}_dict")
        said = {**defaults()["clip"]["fields"][name], **repeated} if isinstance(repeated, Mapping) else {}
        apart = [field for field in said if said[field] != config[name].get(field) and field != "model_type"]
        if apart:
            raise ConfigError(f"{name} and {name}_dict say different things of {apart[0]}; use symflops trace")


def _clip(config: Config, run: Run) -> Expr:
    reads_whole_sequences(config, run)
    _refuse_other_parts(config)
    images = Run(IMAGE, IMAGE, run.attention, d_model_vision)
    text = n_layer * _layer(run, HEADS, run.causal(), config["text_config"], d_ff)
    heads = Heads(n_head_vision, n_head_vision, d_model_vision / n_head_vision)
    vision = n_layer_vision * _layer(images, heads, images.full(), config["vision_config"], d_ff_vision)
    text_tower = Add(embedding(LEARNED, run.stream()), text, layer_norm("norm_final", run.stream()))
    # Of an image only the class token goes on.
    image_tower = Add(_image_embedding(images.stream()), vision, layer_norm("norm_final", _one(d_model_vision)))
    return Add(
        once(part("Text", text_tower + _projection(d_model))),
        once(part("Vision", image_tower + _projection(d_model_vision))),
        similarity(),
    )


def _layer(run: Run, heads: Heads, mask: AttendedPairs, config: Config, width: Expr) -> Expr:
    """A layer of either tower."""
    feedforward = plain_feedforward(config["hidden_act"], BIAS, width, run.stream())
    return stacks.layer(run, layer_norm, stacks.attention(run, heads, mask, BIAS, BIAS), feedforward)


def _image_embedding(stream: Stream) -> Block:
    """Patches without biases, the class token, positions, and the norm of their sum."""
    position = table("position", IMAGE, "position", stream) + residual("add", stream)
    patches = patch_convolution("patch", NO_BIAS, stream.width) + class_token(stream)
    return Block("Embed", Add(patches, position, layer_norm("norm_embedding", stream)))


def _projection(width: Expr) -> Block:
    """One vector for each sequence, in the space that both towers share, of length one."""
    product = linear("projection", width, d_project, "head", NO_BIAS, _one(width))
    return Block("Projection", product + unit_length(d_project))


def _one(width: Expr) -> Stream:
    """One token of each sequence."""
    return Stream(width, Integer(1))


_CLIP_LAYER = """
    q k v            self_attn.{}_proj
    scores mix       self_attn
    project          self_attn.out_proj
    norm_attention   layer_norm1
    norm_feedforward layer_norm2
    up               mlp.fc1
    down             mlp.fc2
"""
CLIP = Family(
    "clip",
    "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, arXiv:2103.00020",
    _clip,
    within("Text", "text_model.encoder.layers.*", _CLIP_LAYER)
    + within("Vision", "vision_model.encoder.layers.*", _CLIP_LAYER)
    + within("Text", "text_model", "token position embeddings.{}_embedding\n norm_final final_layer_norm")
    + within("Vision", "vision_model", "patch position embeddings.{}_embedding\n norm_final post_layernorm")
    + within("Vision", "vision_model", "class_token embeddings:class_embedding\n norm_embedding pre_layrnorm")
    + """
    Text*/projection   text_projection
    Vision*/projection visual_projection
    similarity         model
    scale              model:logit_scale
    """,
    fields={"n_side": patches_of("vision_config")},
    divides=(("n_head_vision", "d_model_vision"),),
)
FAMILIES = (VIT, CLIP)
