"""Experts together: what the tokens of one expert do after another is one contraction with a weight for each.

Of a routed matmul a network says that each token runs it once for each of its experts. A device runs it once for all
experts of a layer, over tokens sorted by expert. Here every expert gets equally many.

>>> from symflops.architectures import architecture
>>> from symflops.networks import uses
>>> mixtral = architecture("mixtral-8x7b")
>>> [up] = [use for use in uses(mixtral.network) if use.path == "Feedforward: Experts/gate_up"]
>>> together = by_expert(up, mixtral, {"n_batch": 1, "n_seq": 4})
>>> together.operation.sentence.text, together.operation.sizes["token"], together.runs
('x[expert token d_in] weight[expert d_in d_out] -> y[expert token d_out]', n_active*n_batch*n_seq/n_expert, n_layer)
>>> by_expert(up, mixtral, {"n_batch": 1, "n_seq": 3}) is up  # six tokens for eight experts
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sympy import Expr, cancel, fraction

from symflops.architectures import Architecture
from symflops.declarations import Sentence
from symflops.networks import Use
from symflops.operations import Contraction

EXPERT, TOKEN = "expert", "token"
"""The axes of sorted tokens: whose they are, and which of its tokens."""


def by_expert(use: Use, model: Architecture, at: Mapping[str, int]) -> Use:
    """A routed matmul as one of all experts; what is no such matmul, or does not divide equally, as it is.

    ``at`` are the sizes n_batch and n_seq. Raises `SizeError` for sizes that do not divide as the model's have to.
    """
    if type(use.operation) is not Contraction or use.copies == use.active or use.active == 0:
        return use
    experts, each = fraction(cancel(use.copies / use.active))
    sizes = use.operation.sizes
    tokens = sizes["batch"] * sizes["seq"] * each / experts
    if not model.at(tokens, **at).is_Integer:
        return use
    return replace(use, operation=_sorted(use.operation, experts, tokens), runs=cancel(use.runs / each))


def _sorted(operation: Contraction, experts: Expr, tokens: Expr) -> Contraction:
    """Tokens [batch seq …] as [expert token …], and parameters with one for each expert."""
    sizes = {axis: size for axis, size in operation.sizes.items() if axis not in ("batch", "seq")}
    text = _by_expert(operation.sentence)
    return Contraction(
        operation.name, text, {**sizes, EXPERT: experts, TOKEN: tokens}, operation.role, constants=operation.constants
    )


def _by_expert(sentence: Sentence) -> str:
    text = sentence.text.replace("[batch seq ", f"[{EXPERT} {TOKEN} ")
    for each in sentence.parameters:
        text = text.replace(f"{each.name}[", f"{each.name}[{EXPERT} ")
    return text
