"""Vision transformers as tools count them: parameters and multiply-accumulates of an image.

Dosovitskiy et al. 2021 print the sizes of three models; timm and torchvision print what implementations of them cost.
Here each is a network of declared operations: the paper's encoder, timm's with its classifier, and Swin's windows. An
image is one sequence, so that all work is for one image.

>>> from symflops.notation import n_batch
>>> expand(flops(NETWORK, "macs").expr.coeff(n_layer) - PER_LAYER)
0
>>> base = {n_side: 14, d_patch: 16, n_channel: 3, n_layer: 12, d_model: 768, d_ff: 3072, n_head: 12, n_batch: 1}
>>> params(NETWORK).subs(base), flops(NETWORK, "macs").expr.subs(base)
(86567656, 17563828224)
"""

from __future__ import annotations

from sympy import Add, Expr, Integer, expand, factor

from symflops import architecture
from symflops.architectures.towers import IMAGE
from symflops.claims.sections import checked
from symflops.conventions import MACS
from symflops.derivation import Section, Step, Study, drop, share, specialise, start, table
from symflops.documents import Block as Part
from symflops.documents import Remarks, Steps, Table, prose
from symflops.layers.attention import Heads, attention_core, fused_qkv, project
from symflops.layers.convolution import patch_convolution
from symflops.layers.feedforward import plain_feedforward
from symflops.layers.heads import pooler
from symflops.layers.linear import BIAS, NO_BIAS, linear
from symflops.layers.norm import layer_norm, residual
from symflops.layers.positions import relative_positions
from symflops.layers.softmax import with_relative_bias
from symflops.layers.stream import Stream
from symflops.masks import Full
from symflops.measures import flops, params
from symflops.networks import Block, of_role
from symflops.notation import (
    d_ff,
    d_model,
    d_patch,
    n_batch,
    n_bucket,
    n_channel,
    n_head,
    n_layer,
    n_side,
)

TITLE = "Vision transformers, as tools count them"
CITATION = (
    "Dosovitskiy et al., An Image is Worth 16x16 Words, 2021, arXiv:2010.11929, Table 1; timm, "
    "results/benchmark-infer-amp-nchw-pt240-cu124-rtx3090.csv; Liu et al., Swin Transformer, 2021, arXiv:2103.14030"
)
CLASSES = Integer(1000)
"""Classes of ImageNet-1k."""


def head(width: Expr) -> Block:
    """The classifier: a linear layer on one token of each image."""
    return Block("Classifier", linear("head", width, CLASSES, "head", BIAS, Stream(width, Integer(1))))


# The paper's encoder as the family declares it, with the dense layer behind the class token that the paper has in
# pre-training; timm leaves it out and puts a classifier behind the last norm.
POOLED: Expr = architecture({"model_type": "vit"}).network
HEADLESS: Expr = POOLED - pooler("tanh", Stream(d_model, IMAGE))
NETWORK: Expr = HEADLESS + head(d_model)

_WINDOW = Integer(49)
_D_HEAD = Integer(32)


def swin_stage(number: int, blocks: Expr) -> Expr:
    """A stage of Swin: attention inside windows of 7 x 7 tokens, an image of 224 x 224, and what leads to the next.

    Each stage is twice as wide as the one before and has a quarter of its tokens; a head is 32 wide in all of them.
    """
    tokens, width = Integer((56 >> number) ** 2), 2**number * d_model
    stream = Stream(width, _WINDOW, n_batch * tokens / _WINDOW)
    heads, mask = Heads(width / _D_HEAD, width / _D_HEAD, _D_HEAD), Full(_WINDOW, _WINDOW)
    block = Add(
        *(layer_norm(name, stream) for name in ("norm_attention", "norm_feedforward")),
        *(residual(name, stream) for name in ("add_attention", "add_feedforward")),
        relative_positions(heads.n_head, mask).subs(n_bucket, 13**2),
        fused_qkv(heads, BIAS, stream),
        attention_core(heads, mask, with_relative_bias, stream),
        project(heads, BIAS, stream),
        plain_feedforward("gelu", BIAS, 4 * width, stream),
    )
    return blocks * block + (_merge(width, tokens) if number < 3 else Integer(0))


def _merge(width: Expr, tokens: Expr) -> Block:
    """Four neighbours become one token: a norm of all their elements, and a linear layer to half as many."""
    stream = Stream(4 * width, tokens / 4)
    merged = linear("merge", 4 * width, 2 * width, "patch", NO_BIAS, stream)
    return Block("Merge", layer_norm("norm_merge", stream) + merged)


def swin() -> Expr:
    """Swin with 2, 2, n_layer and 2 blocks in its four stages, d_model wide in the first."""
    patches = patch_convolution("patch", BIAS).subs({n_side: 56, d_patch: 4})
    first = Block("Embed", patches + layer_norm("norm_embedding", Stream(d_model, Integer(56**2))))
    stages = (swin_stage(number, blocks) for number, blocks in enumerate((Integer(2), Integer(2), n_layer, Integer(2))))
    return Add(first, *stages, layer_norm("norm_final", Stream(8 * d_model, _WINDOW)), head(8 * d_model))


SWIN: Expr = swin()
NETWORKS = {"pooled": POOLED, "headless": HEADLESS, "swin": SWIN}

TOKENS: Expr = IMAGE
PER_LAYER: Expr = n_batch * (TOKENS * (4 * d_model**2 + 2 * d_model * d_ff) + 2 * TOKENS**2 * d_model)
BASE = {d_patch: 16, n_side: 14, n_channel: 3, n_layer: 12, d_model: 768, d_ff: 3072, n_head: 12, n_batch: 1}
"""ViT-B/16 on an image of 224 x 224, in a batch of one."""


def at_base(form: Expr) -> int:
    """A closed form of ViT-B/16, as a number."""
    return int(form.subs(BASE))


def macs(network: Expr) -> Expr:
    """The multiply-accumulates of one image."""
    return expand(flops(network, MACS).expr / n_batch)


def products() -> Expr:
    """The two products of attention that have no weights, of all layers."""
    return macs(of_role(NETWORK, "scores") + of_role(NETWORK, "mix"))


def normalised() -> Expr:
    """The elements that layer norms read: each norm has a gain and a bias for each element of a token."""
    return params(of_role(NETWORK, "norm")) * TOKENS / 2


def derive() -> Study:
    """The source's page."""
    sections = (
        Section("Operations", _operations()),
        Section("Identities, each checked by machine", (Steps(_steps()),)),
        Section("Ratios", _ratios()),
        Section("What tools add and leave out", _added()),
        *checked("vit2020"),
    )
    return Study("vit2020", TITLE, CITATION, sections)


def _operations() -> tuple[Part, ...]:
    found = table(NETWORK, MACS, n_batch)
    rows = tuple((row.name, row.params or "-", row.flops or "-") for row in found if row.params or row.flops)
    total = ("Total", factor(params(NETWORK)), factor(macs(NETWORK)))
    opening = prose("timm's vision transformer reads ", TOKENS, " tokens: one for each patch, and a class token.")
    return opening, Table("", ("Operation", "Parameters", "MACs per image"), rows, total)


def _steps() -> tuple[Step, ...]:
    """The closed forms for d_ff = 4 d_model, and what is left of them for a deep and wide model."""
    wide = {d_ff: 4 * d_model}
    ends = d_model * (d_patch**2 * n_channel + n_side**2 + 1005) + CLASSES
    layers = n_layer * (12 * d_model**2 + 13 * d_model)
    owned = specialise(start("params", params(NETWORK), "all operations"), wide, layers + ends, "d_ff = 4*d_model")
    owned = drop(owned, ends, layers, "patches, positions and the classifier are linear in d_model")
    embed = d_model * (n_side**2 * d_patch**2 * n_channel + 1000)
    matmuls, pairs = 12 * n_layer * TOKENS * d_model**2, 2 * n_layer * TOKENS**2 * d_model
    work = start("MACs", macs(NETWORK), "all operations")
    work = specialise(work, wide, matmuls + pairs + embed, "d_ff = 4*d_model")
    work = drop(work, embed, matmuls + pairs, "patches and the classifier run once, not in each layer")
    return (*owned, *work)


def _ratios() -> tuple[Part, ...]:
    pairs = share(products(), products() + 12 * n_layer * TOKENS * d_model**2)
    at = float(100 * share(products(), macs(NETWORK)).subs(BASE))
    return (
        prose("The products of attention are ", pairs, " of a layer's matmuls where d_ff = 4*d_model: half of them at ",
              TOKENS, " = ", 6 * d_model, f" tokens, and {at:.1f} % of all MACs of ViT-B/16 at 224 x 224."),
        prose("FLOPs are twice the MACs. What torchvision prints as GFLOPS of vit_b_16 (17.56) are MACs: ",
              f"{at_base(macs(NETWORK)):,} of them, so that it takes {2 * at_base(macs(NETWORK)):,} FLOPs."),
    )  # fmt: skip


def _added() -> tuple[Part, ...]:
    norms, whole = 5 * at_base(normalised()), at_base(macs(NETWORK))
    pooled = at_base(params(POOLED))
    remarks = (
        ("Layer norms", (f"the GMACs of timm's results are those of fvcore, which prices a layer norm with "
         f"5 for each element that it reads, in one sum with MACs. In ViT-B/16 that is {norms:,} beside {whole:,}: "
         f"{(norms + whole) / 1e9:.2f} in place of {whole / 1e9:.2f}. Rows like this one come out only so.")),
        ("Fused attention", (f"a counter that does not see inside a fused kernel leaves out "
         f"{at_base(products()):,} MACs and prints {(whole - at_base(products())) / 1e9:.2f}.")),
        ("Classifier and pooler", (f"without its classifier ViT-B/16 owns {at_base(params(HEADLESS)):,} "
         f"parameters, with one of 1000 classes {at_base(params(NETWORK)):,}, with the dense layer behind the class "
         f"token instead {pooled:,}. Only the last of them agrees with the paper for both ViT-B and ViT-H.")),
        ("Activations", ("timm's activations are the elements that convolutions and matmuls write.")),
    )  # fmt: skip
    return (Remarks(remarks),)
