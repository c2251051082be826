"""The formulas of the field: laws pass those that are right, and catch each bug with the smallest case."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import field_charges
import field_tools
import pytest
from field_tools import Tool, levanter_head_is_d_over_h, nx_outproj_of_kv_heads

from symflops.laws.adapters import Adapter, adapter, cost
from symflops.laws.catalogue import LAWS
from symflops.laws.cost import Case
from symflops.laws.drawing import sized
from symflops.laws.finding import find_claims
from symflops.laws.report import Report
from symflops.laws.running import check

RIGHT, WRONG = (*field_tools.RIGHT, *field_charges.RIGHT), (*field_tools.WRONG, *field_charges.WRONG)


def adapted(tool: Tool) -> Adapter:
    return adapter(tool.function, tool.claims, tool.arguments)


def checked(tool: Tool, examples: int = 25, **more: Any) -> Report:
    return check(tool.function, adapted(tool), examples=examples, **more)


@pytest.mark.parametrize("tool", RIGHT, ids=lambda tool: tool.name)
def test_a_formula_that_is_right_passes_every_law_that_is_asked(tool: Tool) -> None:
    report = checked(tool)
    assert report.holds, [each.told() for each in report.failures]
    assert len(report.of("holds")) >= 8


@pytest.mark.parametrize("tool", WRONG, ids=lambda tool: tool.name)
def test_a_bug_is_caught_with_the_smallest_case(tool: Tool) -> None:
    found = {each.law.name: each for each in checked(tool, laws=tuple(tool.breaks)).failures}
    assert found.keys() == tool.breaks.keys()
    for law, changed in tool.breaks.items():
        case, instance = found[law].case, found[law].instance
        assert case is not None and instance is not None and instance.left != instance.right
        smallest = Case(sized(case.model.family.name, lambda name, values: values[0]))
        assert {name: size for name, size in case.sizes.items() if size != smallest.sizes[name]} == changed
        assert LAWS[law].source in found[law].told() and str(case) in found[law].told()


@pytest.mark.slow
@pytest.mark.parametrize("tool", RIGHT, ids=lambda tool: tool.name)
def test_a_formula_that_is_right_passes_thoroughly(tool: Tool) -> None:
    report = checked(tool, examples=250)
    assert report.holds, [each.told() for each in report.failures]


NAMES = ("n_layer", "n_kv_head", "n_head", "d_head", "d_model", "d_ff", "n_vocab")


@pytest.mark.parametrize(
    ("function", "law"), [(nx_outproj_of_kv_heads, "key-value-slope"), (levanter_head_is_d_over_h, "length-curvature")]
)
def test_no_smaller_case_breaks_the_law(function: Any, law: str) -> None:
    """All cases whose sizes are one of the two smallest, one by one: none that is smaller in some size breaks it."""
    tool = next(each for each in WRONG if each.function is function)
    [found] = checked(tool, laws=(law,)).failures
    asked, broken = cost(function, adapted(tool)), []
    for choice in product((0, 1), repeat=len(NAMES)):
        places = dict(zip(NAMES, choice, strict=True))
        case = Case(sized("llama", lambda name, values, at=places: values[at.get(name, 0)]))
        ask = LAWS[law].ask
        if ask and any(not each.holds for each in ask(asked, case)):
            broken.append(case.sizes)
    assert found.case is not None and found.case.sizes in broken
    assert not [
        each
        for each in broken
        if each != found.case.sizes and all(each[name] <= size for name, size in found.case.sizes.items())
    ]


@pytest.mark.parametrize("tool", [tool for tool in RIGHT if "params" not in tool.claims], ids=lambda tool: tool.name)
def test_the_claims_of_a_formula_are_found(tool: Tool) -> None:
    """What a tool's authors say of it is among the claims that fit, whatever was claimed before."""
    how = adapted(tool)
    first, meant = find_claims(tool.function, how), how.claims
    roles = {role for fit in first.fits for role in fit.counts}
    said = [replace(fit, families=()) for fit in first.fits]
    assert replace(meant, families=(), counts=meant.counts & roles) in said


def test_no_claims_fit_a_formula_with_a_bug() -> None:
    tool = next(each for each in WRONG if each.function is nx_outproj_of_kv_heads)
    found = find_claims(tool.function, adapted(tool))
    assert not found.fits and len(found.nearest) == 3
    assert "No claims give all of its numbers" in found.show()
