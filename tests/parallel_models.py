"""Small real models on many ranks, of which this process plays one, and the closed forms of the same at their sizes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from symflops.architectures import architecture
from symflops.architectures.architecture import Architecture
from symflops.training.parallelism.communication import messages
from symflops.training.parallelism.layouts import Layout
from symflops.training.parallelism.memory import SINGLE, Widths
from symflops.training.parallelism.messages import Message
from symflops.training.parallelism.pieces import storage_of

BATCH, SEQ = 2, 16
LLAMA = LlamaConfig(
    hidden_size=32, intermediate_size=72, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4,
    vocab_size=104, max_position_embeddings=64, attn_implementation="eager",
)  # fmt: skip
GPT2 = GPT2Config(
    n_layer=3,
    n_embd=20,
    n_head=4,
    vocab_size=53,
    n_positions=32,
    resid_pdrop=0,
    embd_pdrop=0,
    attn_pdrop=0,
    bos_token_id=0,
    eos_token_id=0,
)
MIXTRAL = MixtralConfig(
    hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    vocab_size=40, num_local_experts=6, num_experts_per_tok=2, max_position_embeddings=32,
)  # fmt: skip
_MODELS = {"llama": LlamaForCausalLM, "gpt2": GPT2LMHeadModel, "mixtral": MixtralForCausalLM}
Total = dict[tuple[str, int, str], tuple[int, int]]


def built(config: Any) -> Any:
    """The real model."""
    torch.manual_seed(0)
    return _MODELS[config.model_type](config)


def formula(config: Any) -> Architecture:
    """The same in closed form."""
    return architecture(config.to_dict())


def layers_of(model: Any) -> Any:
    """The list of layers of a transformers model."""
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def sharded(model: Any, mesh: DeviceMesh, **options: Any) -> Any:
    """FSDP2 as PyTorch's documentation applies it: each layer, then the rest."""
    for layer in layers_of(model):
        fully_shard(layer, mesh=mesh, **options)
    options.pop("reshard_after_forward", None)  # What the outermost module owns is kept anyway.
    return fully_shard(model, mesh=mesh, **options)


def mesh_of(**ways: int) -> DeviceMesh:
    """A mesh with named dimensions."""
    return init_device_mesh("cpu", tuple(ways.values()), mesh_dim_names=tuple(ways))


def step(model: Any, vocab: int) -> None:
    """A forward and a backward pass."""
    tokens = torch.arange(BATCH * SEQ).reshape(BATCH, SEQ) % vocab
    # Given, because the model would make them for the tokens that it sees, which are fewer where those are split.
    positions, mask = torch.arange(SEQ)[None], torch.full((SEQ, SEQ), -1e9).triu(1).expand(BATCH, 1, SEQ, SEQ)
    logits = model(input_ids=tokens, position_ids=positions, attention_mask=mask, use_cache=False).logits
    logits = logits.to_local() if isinstance(logits, DTensor) else logits
    logits.float().sum().backward()


def tensor_parallel(model: Any, mesh: DeviceMesh, inputs: str, sequence: str) -> Any:
    """A llama by DTensor: plans of `parallelize_module`, tokens whole or split, inputs prepared once or by each."""
    tokens = Shard(1) if sequence == "split" else Replicate()
    plan: dict[str, Any] = {
        "model.embed_tokens": RowwiseParallel(input_layouts=Replicate(), output_layouts=tokens),
        "lm_head": ColwiseParallel(input_layouts=tokens),
    }
    if sequence == "split":
        plan["model.norm"] = SequenceParallel(use_local_output=True)
    for layer in range(len(layers_of(model))):
        plan |= {f"model.layers.{layer}.{name}": style for name, style in _of_layer(tokens, inputs, sequence).items()}
    return parallelize_module(model, mesh, plan)


def _of_layer(tokens: Any, inputs: str, sequence: str) -> dict[str, Any]:
    reads = {"once": Replicate(), "each": tokens}[inputs]
    plan: dict[str, Any] = {f"self_attn.{name}_proj": ColwiseParallel(input_layouts=reads) for name in "qkv"}
    plan |= {f"mlp.{name}_proj": ColwiseParallel(input_layouts=reads) for name in ("gate", "up")}
    plan |= {name: RowwiseParallel(output_layouts=tokens) for name in ("self_attn.o_proj", "mlp.down_proj")}
    if inputs == "once":
        prepared = PrepareModuleInput(
            input_kwarg_layouts={"hidden_states": tokens}, desired_input_kwarg_layouts={"hidden_states": Replicate()}
        )
        plan["self_attn"] = prepared
        plan["mlp"] = PrepareModuleInput(input_layouts=(tokens,), desired_input_layouts=(Replicate(),))
    if sequence == "split":
        plan |= {
            name: SequenceParallel(use_local_output=True) for name in ("input_layernorm", "post_attention_layernorm")
        }
    return plan


def expected(config: Any, layout: Layout, code: str = "dtensor", widths: Widths = SINGLE) -> Total:
    """What the closed forms say of one rank of a step of this batch on each data parallel rank."""
    model = formula(config)
    return counted(model, messages(model.network, layout, "only", widths, storage_of(model), code), layout)


def counted(model: Architecture, found: Iterable[Message], layout: Layout) -> Total:
    """Messages as the engine's counter has them: what is sent once in a step is sent in its backward pass."""
    total: Total = {}
    sizes = {"n_batch": BATCH * int(layout.data * layout.micro), "n_seq": SEQ}
    for each in found:
        key = (each.collective, int(each.ways), "forward" if each.when == "forward" else "backward")
        times, size = total.get(key, (0, 0))
        total[key] = (times + int(model.at(each.times)), size + int(model.at(each.bytes, **sizes)))
    return total
