"""FlopCounter in the place of torch's FlopCounterMode: the same programs, the same figures, names and tables.

What torch's counter gets wrong is in `test_flop_counter_holes`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from flop_programs import MISPLACED, TRAINING, Mlp, Program
from flop_programs_uses import USES
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.flop_counter import FlopCounterMode

from symflops.tracing import AlreadyCounting, Einsum, FlopCounter, NothingCounted, chains, flop_table
from symflops.tracing.rules import RULES, registry

PROGRAMS = (*TRAINING, *USES)
Counts = dict[str, dict[str, int]]


def counts(counter: Any) -> Counts:
    """By module and the operator's name: a program that makes an operator makes another one in each run."""
    return {
        name: {str(operator): flops for operator, flops in each.items()}
        for name, each in counter.get_flop_counts().items()
    }


def differences(program: Program) -> list[str]:
    """In what the two counters differ after one program."""
    torch.manual_seed(0)
    theirs, ours = program(FlopCounterMode), program(FlopCounter)
    found = {
        "total": (theirs.get_total_flops(), ours.get_total_flops()),
        "names": (set(counts(theirs)), set(counts(ours))),
        "counts": (counts(theirs), counts(ours)),
    }
    return [what for what, (expected, seen) in found.items() if expected != seen]


def named(program: Program) -> str:
    return program.__name__


@pytest.mark.parametrize("program", PROGRAMS, ids=named)
def test_a_program_for_torchs_counter_gives_the_same_with_ours(program: Program) -> None:
    assert differences(program) == []


@pytest.mark.parametrize("program", MISPLACED, ids=named)
def test_totals_and_names_are_equal_where_torchs_counter_takes_backward_work_for_other_modules(
    program: Program,
) -> None:
    assert differences(program) == ["counts"]


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS, ids=named)
def test_the_table_is_torchs_letter_by_letter(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    tabulate = pytest.importorskip("tabulate", reason="torch's counter prints its table with it")
    _keep_indents(tabulate, monkeypatch)
    theirs, ours = program(FlopCounterMode), program(FlopCounter)
    for depth in (None, 0, 1, 2, 99):
        assert ours.get_table(depth) == theirs.get_table(depth)


def _keep_indents(tabulate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0.10 on, tabulate no longer takes from its module that indents are kept, which is what torch sets."""
    if hasattr(tabulate, "tabulate") and "preserve_whitespace" in tabulate.tabulate.__code__.co_varnames:
        plain = tabulate.tabulate
        monkeypatch.setattr(tabulate, "tabulate", lambda *a, **k: plain(*a, **k, preserve_whitespace=True))


@pytest.mark.parametrize(
    "found, depth, expected",
    [
        ({}, 2, ["Module      FLOP    % Total", "--------  ------  ---------", "Global         0         0%"]),
        (
            {"Linear": {"aten.mm": 1536}, "Global": {"aten.mm": 3072}},
            2,
            [
                "Module         FLOP    % Total",
                "-----------  ------  ---------",
                "Global         3072    100.00%",
                " - aten.mm     3072    100.00%",
                " Linear        1536     50.00%",
                "  - aten.mm    1536     50.00%",
            ],
        ),
        (
            {"Net": {"aten.mm": 1234567}, "Net.up": {"aten.mm": 234567}, "Global": {"aten.mm": 1234567}},
            None,
            [
                "Module            FLOP    % Total",
                "-----------  ---------  ---------",
                "Net          1234.567K    100.00%",
                " - aten.mm   1234.567K    100.00%",
                " Net.up       234.567K     19.00%",
                "  - aten.mm   234.567K     19.00%",
            ],
        ),
    ],
)
def test_tables_as_torch_prints_them_with_tabulate(found: Any, depth: int | None, expected: list[str]) -> None:
    """Recorded, so that this holds where tabulate is not installed."""
    assert flop_table.table(found, depth).splitlines() == expected


# --- misuse, and planted faults ---------------------------------------------------------------------------------------


def test_entering_a_counter_inside_its_own_block_is_refused_and_leaves_nothing_behind() -> None:
    counter = FlopCounter(display=False)
    with counter:
        with pytest.raises(AlreadyCounting, match="leave its block first"), counter:
            pass
        torch.ones(2, 3) @ torch.ones(3, 4)
    assert counter.get_total_flops() == 48 and torch._C._len_torch_dispatch_stack() == 0


def test_a_block_that_hid_all_operators_is_no_count_of_zero() -> None:
    model = Mlp()
    with pytest.raises(NothingCounted), FlopCounter(display=False), _disable_current_modes():
        model(torch.ones(4, 8))


def test_a_wrong_rule_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    one_axis_less = lambda out, bias, a, b: Einsum("m k", {"m": a.shape[0], "k": a.shape[1]})  # noqa: E731
    wrong = replace(RULES["aten::addmm"], works=one_axis_less)
    monkeypatch.setitem(RULES, "aten::addmm", wrong)
    monkeypatch.setattr(registry, "_RESOLVED", {})
    assert differences(TRAINING[0]) == ["total", "counts"]


@pytest.mark.parametrize("fault", ["a name", "a parent"])
def test_wrong_names_and_parents_are_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Any = chains.Names.of
    alone = lambda self, key, path: self._stack.append((key, chains.innermost(path), -1))  # noqa: E731
    planted = {
        "a name": (chains.Names, "of", lambda self, module: plain(self, module).replace("layers", "layer")),
        "a parent": (chains.Chains, "_push", alone),
    }
    monkeypatch.setattr(*planted[fault])
    assert "counts" in differences(TRAINING[5])


def test_a_wrong_table_is_seen() -> None:
    found = {"Linear": {"aten.mm": 1536}, "Global": {"aten.mm": 1536}}
    more = {**found, "Global": {"aten.mm": 1537}}
    right, wrong = (flop_table.table(each, 2).splitlines() for each in (found, more))
    assert right[2].startswith("Linear") and wrong[2].startswith("Global")
