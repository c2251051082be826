"""Models that nobody named: closed forms of hand-written code, equal to those derived by hand from the code's text."""

from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from handwritten import llama2c, nano, parts
from sympy import Expr, Integer, expand, floor
from torch import Tensor, nn

from symflops.errors import ConfigError
from symflops.notation import (
    d_expert,
    d_ff,
    d_head,
    d_model,
    d_patch,
    n_active,
    n_batch,
    n_channel,
    n_ctx,
    n_expert,
    n_head,
    n_kv_head,
    n_layer,
    n_seq,
    n_vocab,
    symbol,
)  # fmt: skip
from symflops.tracing import usercode
from symflops.tracing.factories import of_function
from symflops.tracing.inputs import inputs
from symflops.tracing.internals.symbolic_scope import keep_symbols, symbolic_scope
from symflops.tracing.recovery import NotSymbolic
from symflops.tracing.rules.registry import price
from symflops.tracing.rules.work import Elements
from symflops.tracing.symbolic import symbolic_run
from symflops.tracing.trace import Trace, trace
from symflops.tracing.userfiles import load

FOLDER = Path(__file__).parent / "handwritten"
tokens, width = n_batch * n_seq, n_head * d_head
heads = n_kv_head * d_head
patches = symbol("n_side") ** 2

# Multiply-accumulates by hand, forward: products with weights, attention, logits. Backward takes twice as many, and
# fused attention computes its scores once more.
scores = 2 * tokens * n_seq * width
nano_weights = tokens * (n_layer * 12 * width**2 + width * n_vocab)
nano_params = n_vocab * width + n_ctx * width + n_layer * (12 * width**2 + 9 * width + 4 * width) + 2 * width
llama_layer = 2 * width**2 + 2 * width * heads + 3 * width * d_ff
rounded = 32 * floor(floor(8 * width / 3) / Integer(32) + Integer(31) / 32)
BY_HAND: dict[str, tuple[Expr, Expr, Expr]] = {
    "nano.py:fused": (
        nano_params, nano_weights + n_layer * scores, 2 * nano_weights + n_layer * 5 * scores / 2,
    ),
    "llama2c.py:given": (
        2 * n_vocab * width + n_layer * (llama_layer + 2 * width) + width,
        tokens * (n_layer * llama_layer + width * n_vocab) + n_layer * scores,
        2 * tokens * (n_layer * llama_layer + width * n_vocab) + 2 * n_layer * scores,
    ),
    "parts.py:encoder": (
        n_vocab * width + n_layer * (4 * width**2 + 4 * width + 2 * width * d_ff + d_ff + width + 4 * width),
        n_layer * (tokens * (4 * width**2 + 2 * width * d_ff) + scores),
        n_layer * (2 * tokens * (4 * width**2 + 2 * width * d_ff) + 5 * scores / 2),
    ),
}  # fmt: skip
SLOW: dict[str, tuple[Expr, Expr, Expr]] = {
    "nano.py:by_hand": (nano_params, nano_weights + n_layer * scores, 2 * nano_weights + 2 * n_layer * scores),
    "llama2c.py:turned": BY_HAND["llama2c.py:given"],
    "llama2c.py:rounded": tuple(each.subs(d_ff, rounded) for each in BY_HAND["llama2c.py:given"]),  # type: ignore
    "mixture.py:dense": (
        2 * n_vocab * d_model + n_layer * n_expert * d_model * (2 * d_expert + 1) + 2 * d_model,
        tokens * (n_layer * n_expert * d_model * (2 * d_expert + 2) + d_model * n_vocab),
        2 * tokens * (n_layer * n_expert * d_model * (2 * d_expert + 2) + d_model * n_vocab),
    ),
    "mixture.py:routed": (
        2 * n_vocab * d_model + n_layer * n_expert * d_model * (3 * d_expert + 1) + 2 * d_model,
        tokens * (n_layer * d_model * (3 * n_active * d_expert + n_expert) + d_model * n_vocab),
        2 * tokens * (n_layer * d_model * (3 * n_active * d_expert + n_expert) + d_model * n_vocab),
    ),
}


def wrong(found: Trace, by_hand: tuple[Expr, Expr, Expr]) -> list[str]:
    """Which closed forms are not those derived by hand."""
    parameters, forward, backward = by_hand
    pairs = {"params": parameters, "C_forward": 2 * forward, "C_backward": 2 * backward}
    return [name for name, form in pairs.items() if expand(getattr(found, name) - form) != 0]


@pytest.mark.parametrize("target", BY_HAND)
def test_closed_forms_of_hand_written_code_are_those_derived_by_hand(target: str) -> None:
    found = trace(f"{FOLDER}/{target}", certify=2)
    assert wrong(found, BY_HAND[target]) == [] and found.certificate.equal
    assert [each.size for each in found.recovered] == ["n_layer"], "text that a model makes of its sizes loses none"
    # The planted fault: one bias more.
    assert wrong(found, (BY_HAND[target][0] + 1, *BY_HAND[target][1:])) == ["params"]


@pytest.mark.slow
@pytest.mark.parametrize("target", SLOW)
def test_more_of_them(target: str) -> None:
    assert wrong(trace(f"{FOLDER}/{target}", certify=2), SLOW[target]) == []


def test_a_function_with_inputs_of_its_own() -> None:
    """Images, as a class token goes before the patches of each."""
    found = trace(parts.stem, inputs=parts.images, certify=2)
    rows = patches + 1
    stem = patches * n_channel * d_patch**2 * width
    layer = rows * (3 * width**2 + 2 * width * d_ff) + 2 * rows**2 * width
    assert expand(found.C_forward - 2 * n_batch * (stem + n_layer * layer)) == 0


def test_what_is_missing_is_said_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"Stem\.forward takes 'x', which is not made; define inputs\(.*") as refused:
        trace(f"{FOLDER}/parts.py:stem", certify=0)
    assert "\n" not in str(refused.value)


def test_two_names_for_one_size_are_asked_about_and_a_contradiction_stays_a_number() -> None:
    def twins(dim: int, hidden_size: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(7, dim), nn.Linear(dim, hidden_size))

    def apart(dim: int = 4, hidden_size: int = 6) -> nn.Module:
        return twins(dim, hidden_size)

    with pytest.raises(
        ConfigError, match=r"'dim' and 'hidden_size' are both read as d_model; say .* --map hidden_size="
    ):
        of_function(twins, "twins", {}, None, inputs)
    assert set(of_function(twins, "twins", {}, {"dim": "d_model", "hidden_size": "d_ff"}, inputs).meanings) == {
        "dim", "hidden_size",
    }  # fmt: skip
    assert set(of_function(apart, "apart", {}, None, inputs).meanings) == {"dim"}


def test_a_power_of_a_loop_is_refused_and_not_guessed() -> None:
    """The planted fault: a width that is no polynomial in the heads that a loop counts."""

    def factory(n_head: int, d_model: int) -> nn.Module:
        return nn.Sequential(nn.Embedding(7, d_model), nn.Linear(d_model, 2 ** len(range(n_head))))

    with pytest.raises(NotSymbolic, match=r"no polynomial|no further numbers"):
        trace(factory, certify=0, inputs=lambda module, sizes: torch.zeros(2, sizes["n_seq"], dtype=torch.long))


# --- whose code keeps symbols -----------------------------------------------------------------------------------------


def names_of(found: list[dict[str, Any]]) -> set[str]:
    return {str(each["__name__"]).rpartition(".")[2] for each in found}


def test_a_users_file_and_its_helpers_are_found_and_no_library_is(tmp_path: Path) -> None:
    (tmp_path / "helping.py").write_text("def half(x):\n    return int(x / 2)\n", encoding="utf-8")
    source = "import torch\nfrom torch import nn\nfrom helping import half\ndef make(d_ff):\n    return half(d_ff)\n"
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    make = load(tmp_path / "model.py").make
    assert names_of(usercode.namespaces(make)) == {"_symflops_target_model", "helping"}
    assert {"torch", "linear", "pytest"}.isdisjoint(names_of(usercode.namespaces(wrong)))
    assert names_of(usercode.of_layers(nano.GPT(nano.Config(4, 5, 1, 1, 2)))) == {"nano"}


def test_conversions_are_restored_also_after_an_exception() -> None:
    before = dict(vars(llama2c))
    target = of_function(llama2c.rounded, "rounded", {}, None, inputs)
    seen: list[bool] = []

    def build(sizes: Mapping[str, Any]) -> Any:
        target.build(sizes)
        seen.append("int" in vars(llama2c))
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        symbolic_run(build, {name: size for name, size in target.sizes.items() if name != "n_layer"}, {"n_layer": 1})
    assert seen == [True] and vars(llama2c) == before and "int" not in before
    target.build({})
    assert vars(llama2c) == before, "a concrete build replaces nothing"


def test_conversions_keep_symbols_and_convert_all_else() -> None:
    own: dict[str, Any] = {"sqrt": math.sqrt, "start": nn.init.normal_}

    def build(sizes: Mapping[str, Any]) -> tuple[nn.Module, Tensor, Any]:
        keep_symbols([own])
        size = sizes["d_ff"]
        kept.extend([own["int"](size * 1.5), own["float"](size), own["len"](torch.empty(size, 2)), own["sqrt"](size)])
        assert (own["int"]("7"), own["float"]("0.5"), own["len"]("abc"), own["int"]()) == (7, 0.5, 3, 0)
        assert isinstance(size, own["int"]) and isinstance(3, own["int"]) and isinstance(2.0, own["float"])
        assert f"{size:>4}" == "  10" and "%.1f of %d" % (size / 4, size) == "2.5 of 10"  # noqa: UP031
        return nn.Linear(size, 2), torch.empty(3, size), torch.sum

    kept: list[Any] = []
    traced = symbolic_run(build, {"d_ff": 10})
    assert traced.specialised == () and all(isinstance(each, torch.SymInt | torch.SymFloat) for each in kept)
    assert own == {"sqrt": math.sqrt, "start": nn.init.normal_}


def test_a_number_that_is_no_text_is_still_reported() -> None:
    """The planted fault: the same conversion outside of text."""

    def build(sizes: Mapping[str, Any]) -> tuple[nn.Module, Tensor, Any]:
        number = int(builtins.float(sizes["d_ff"] / 2) % 7)
        return nn.Linear(number, 2), torch.empty(3, number), torch.sum

    assert symbolic_run(build, {"d_ff": 10}).lost == ("d_ff",)


def test_nothing_is_kept_outside_of_a_scope() -> None:
    own: dict[str, Any] = {}
    keep_symbols([own])
    assert own == {}
    with pytest.raises(KeyError), symbolic_scope():
        keep_symbols([own])
        raise KeyError("planted")
    assert own == {}


def test_a_triangular_solve_takes_two_steps_for_each_pair_of_the_triangle() -> None:
    """Counted by a loop, with the division as one step more, which the diagonal's half row stands for."""
    size, columns = 6, 4
    matrix, right = torch.eye(size).tril(), torch.ones(size, columns)
    solved = torch.linalg.solve_triangular(matrix, right, upper=False)
    steps = sum(2 * row + 1 for row in range(size) for _ in range(columns))
    [work] = price(torch.ops.aten.linalg_solve_triangular.default, solved, (matrix, right), {"upper": False})
    assert isinstance(work, Elements) and work.count == steps == size * size * columns
