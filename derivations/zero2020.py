"""Rajbhandari et al. 2020 (ZeRO): what training keeps of each parameter, and what is left when devices share it.

The paper counts sixteen bytes for each parameter trained with Adam in mixed precision, lets n_data devices share
the optimiser's states, then the gradients, then the parameters, and says what fits and what is sent. Here the
stages are sums of declared tensors, and the text's rule for activations is put beside what a declared layer keeps.

>>> stage(frozenset({"optimiser"}))
4*n_param*(n_data + 3)/n_data
>>> sent(frozenset({"optimiser", "gradients", "parameters"})) / sent(frozenset())
3/2
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Add, Expr, Float, Integer, cancel, factor, sqrt

from derivations._korthikanti_layer import ELEMENT, Rank, kept, small, total
from symflops.architectures import architecture
from symflops.claims.sections import checked
from symflops.derivation import Section, Study, drop, rewrite, share, start
from symflops.documents import Prose, Steps, Table, prose
from symflops.notation import d_model, n_batch, n_layer, n_seq, symbol
from symflops.steps import Step

CITATION = (
    "Rajbhandari, Rasley, Ruwase and He, ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, 2020, "
    "arXiv:1910.02054, sections 3 to 7"
)
n_param, n_data = symbol("n_param"), symbol("n_data")
_MEMORY = 32 * 10**9


@dataclass(frozen=True)
class Held:
    """A value that training holds for each parameter: what it belongs to, and its bytes."""

    name: str
    part: str
    bytes: int


HELD = (
    Held("parameter, half precision", "parameters", 2),
    Held("gradient, half precision", "gradients", 2),
    Held("copy of the parameter, single precision", "optimiser", 4),
    Held("momentum, single precision", "optimiser", 4),
    Held("variance, single precision", "optimiser", 4),
)
"""Adam in mixed precision (section 3.1); the optimiser's own are the paper's K."""
STAGES = {
    "baseline": frozenset[str](),
    "Pos": frozenset({"optimiser"}),
    "Pos+g": frozenset({"optimiser", "gradients"}),
    "Pos+g+p": frozenset({"optimiser", "gradients", "parameters"}),
}
"""What each stage lets the devices share."""
_PRINTED = {
    "baseline": (2 + 2 + 12) * n_param,
    "Pos": 2 * n_param + 2 * n_param + 12 * n_param / n_data,
    "Pos+g": 2 * n_param + (2 + 12) * n_param / n_data,
    "Pos+g+p": (2 + 2 + 12) * n_param / n_data,
}
_GPT2 = {n_batch: Integer(32), n_seq: Integer(1024)}
"""The text's example: GPT-2 of 1.5 billion parameters on 32 sequences of 1K tokens."""


def derive() -> Study:
    """Bytes of each parameter, the stages, what fits, what is sent, and activations."""
    own = (_states(), _stages(), _largest(), _communication(), _activations())
    return Study("zero2020", "Rajbhandari et al. 2020: ZeRO, who keeps what", CITATION, (*own, *checked("zero2020")))


def stage(shared: frozenset[str]) -> Expr:
    """The bytes of model states on each device, where these parts are shared by all devices."""
    return factor(n_param * Add(*(each.bytes / (n_data if each.part in shared else Integer(1)) for each in HELD)))


def sent(shared: frozenset[str]) -> Expr:
    """The elements that each device sends in a step, of many devices.

    Gradients are reduced to where they are used, and what was computed apart is gathered: updated parameters once, or,
    where parameters are shared, all of them before the forward and before the backward pass.
    """
    reduce_scatter = all_gather = n_param
    return reduce_scatter + all_gather * (2 if "parameters" in shared else 1)


def _states() -> Section:
    rows = tuple((each.name, each.part, Integer(each.bytes)) for each in HELD)
    own = sum(each.bytes for each in HELD if each.part == "optimiser")
    return Section(
        "What training holds for each parameter",
        (
            Table("", ("Value", "Part", "Bytes"), rows, ("Total", "", Integer(sum(each.bytes for each in HELD)))),
            Prose(f"The optimiser's own are the paper's K = {own}. Activations and buffers come on top."),
        ),
    )


def _stages() -> Section:
    chains: list[Step] = []
    for name, shared in STAGES.items():
        chain = start(name, stage(shared), f"shared: {', '.join(sorted(shared)) or 'nothing'}")
        printed = rewrite(chain, _PRINTED[name], "as printed")
        chains += printed if chain[0].expression != _PRINTED[name] else printed[1:]
    rows = tuple(
        (name, cancel(stage(frozenset()) / each), f"{(stage(frozenset()) / each).subs(n_data, 64).evalf():.2f}")
        for name, each in ((name, stage(shared)) for name, shared in STAGES.items())
    )
    return Section(
        "What is left on each device",
        (
            Prose("Of n_data devices, each holds what is not shared in full and an n_data-th of what is:"),
            Steps(tuple(chains)),
            Prose("The baseline is so many times as large; the first two tend to 4 and 8 with many devices:"),
            Table("", ("Stage", "Baseline over it", "of 64 devices"), rows),
        ),
    )


def _largest() -> Section:
    """Table 2: memory over bytes for each parameter."""
    each = {name: Integer(_MEMORY) * n_param / stage(shared).subs(n_data, 64) for name, shared in STAGES.items()}
    rows = tuple(
        (str(parts), *(f"{Float(parts * fits / 10**9, 15):.2f}B" for fits in each.values()))
        for parts in (1, 2, 4, 8, 16)
    )
    return Section(
        "The largest model that fits",
        (
            Prose(
                "On GPUs of 32 GB, 64 of which share, and with the model cut into mp parts, model states alone allow "
                "32 GB * mp over the bytes for each parameter. The paper's Table 2 multiplies the rounded first row by "
                "mp, which is why its larger figures are a little small."
            ),
            Table("", ("mp", *STAGES), rows),
        ),
    )


def _communication() -> Section:
    """Volumes, and the factor (n_data - 1)/n_data that is dropped."""
    ring = 2 * n_param * (n_data - 1) / n_data
    chain = start("ring", ring, "reduce-scatter and all-gather in a ring, a device's own part not sent")
    chain = drop(chain, -2 * n_param / n_data, 2 * n_param, "many devices")
    rows = tuple((name, sent(shared), share(sent(shared), sent(frozenset()))) for name, shared in STAGES.items())
    return Section(
        "What is sent",
        (
            Prose(
                "An all-reduce of the gradients is a reduce-scatter and an all-gather. With Pos and Pos+g the gather "
                "is of updated parameters in place of gradients. With Pos+g+p nobody holds all parameters: they "
                "are gathered for the forward pass and again for the backward pass."
            ),
            Steps(chain),
            Table("", ("Stage", "Elements each device sends", "of the baseline"), rows),
        ),
    )


def rule_of_activations() -> Expr:
    """The bytes of activations by the paper's footnote: twelve elements of two bytes each."""
    return ELEMENT * 12 * d_model * n_batch * n_seq * n_layer


def kept_activations() -> Expr:
    """The bytes that the layers keep, by what their operations need (see korthikanti2022), without dropouts' masks."""
    tensors = tuple(each for each in kept(Rank()) if each.tensor != "mask")
    return n_layer * (total(tensors) - total(small(tensors)))


def _activations() -> Section:
    """Twelve elements against what a layer keeps, and what checkpoints leave."""
    model = architecture("gpt2-xl")
    rule, whole = rule_of_activations(), kept_activations()
    bytes_ = {name: model.at(form.subs(_GPT2)) for name, form in (("rule", rule), ("kept", whole))}
    layers = Integer(model.sizes["n_layer"])
    each = bytes_["rule"] / (12 * layers)
    ways = (
        ("twelve elements, everything kept", bytes_["rule"]),
        ("over the square root of the layers", bytes_["rule"] / sqrt(layers)),
        ("the square root of the number of gigabytes", 10**9 * sqrt(bytes_["rule"] / 10**9)),
        ("each layer's input, and one layer", layers * each + 12 * each),
        ("by what the declared layers keep", bytes_["kept"]),
    )
    rows = tuple((name, f"{(amount / 10**9).evalf():.2f} GB") for name, amount in ways)
    return Section(
        "Activations by the footnote",
        (
            prose("The footnote's 12 elements a layer, token and unit of width make ", rule, " bytes. A layer whose "
                  "operations are declared keeps ", factor(whole), " without masks: each of 16 elements (inputs of two "
                  "norms, of the four matmuls, the queries, keys, values, and the GELU's input), and two of each pair "
                  "of tokens and head. The rule leaves out ", share(whole - rule, rule), " times itself."),
            Prose(
                f"For GPT-2 XL on 32 sequences of 1024 tokens that is {(bytes_['kept'] / bytes_['rule']).evalf():.2f} "
                "times the rule. The text's 8 GB with checkpoints is the square root of the number of gigabytes, which "
                "depends on the unit; over the square root of the layers it would be about 9 GB."
            ),
            Table("", ("Way", "Activations"), rows),
        ),
    )  # fmt: skip


__all__ = ["CITATION", "HELD", "STAGES", "derive", "kept_activations", "rule_of_activations", "sent", "stage"]
