"""Plans of layouts: against brute force over layouts, against themselves, and what is refused."""

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest

from symflops.architectures import architecture
from symflops.cli import run
from symflops.plans.layout import Sharing, best, front, read_layout, single, widths
from symflops.training.hardware import device
from symflops.training.precision import PRECISIONS

GPT2 = Sharing(architecture("gpt2-xl", "flash"), device("a100"), 8, batch=64, seq=1024, node=4)


def test_the_best_is_no_slower_than_any_that_fits() -> None:
    fastest = best(GPT2).result("seconds").value
    ways = [(data, tensor, micro) for data in (1, 2, 4, 8) for tensor in (1, 2, 4, 8) for micro in (1, 2, 4, 8)]
    tried = 0
    for data, tensor, micro in ways:
        if data * tensor == 8 and 25 % tensor == 0 and 64 % (data * micro) == 0:
            for sharding in ("zero1", "fsdp"):
                words = f"data={data},tensor={tensor},micro={micro},sharding={sharding},sequence=split"
                found = single(GPT2, read_layout(words))
                tried += 1
                assert not found.holds or found.result("seconds").value >= fastest
    assert tried >= 8


def test_recomputation_takes_time() -> None:
    plain = single(GPT2, read_layout("data=8,sharding=fsdp"))
    again = single(GPT2, read_layout("data=8,sharding=fsdp,checkpoint=layers"))
    ratio = Fraction(again.result("seconds").value) / Fraction(plain.result("seconds").value)
    assert Fraction(5, 4) < ratio < Fraction(4, 3)  # four forward passes for three, but for the logits
    assert again.result("held").value < plain.result("held").value


def test_each_point_of_the_front_is_faster_than_all_that_hold_less() -> None:
    points = list(front(GPT2))
    assert len(points) > 3
    for more, less in pairwise(points):
        assert less.held < more.held and less.seconds >= more.seconds


def test_bytes_for_each_parameter_are_those_of_the_precision() -> None:
    own = widths(replace(GPT2, precision=PRECISIONS["mixed-bf16-fp32-gradients"]))
    assert (own.parameters, own.gradients, own.optimizer) == (2, 4, 12)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--layout data=8,tenser=1", "did you mean 'tensor'"),
        ("--layout data=8,tensor", "'tensor' says no value of tensor"),
        ("--layout data=4", "and the cluster has 8"),
        ("--layout data=4,tensor=2", "25"),
        ("--layout data=8,sharding=zero4", "unknown sharding 'zero4'"),
        ("--overlap some", "unknown policy 'some'"),
        ("--most tenser=8", "unknown way 'tenser'"),
        ("--optimizer adafactor", "depend on shapes"),
        ("--node 3", "no whole nodes of 3"),
    ],
)
def test_bad_layouts_get_one_line(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", "layout", "--model", "gpt2-xl", "--device", "a100", "--count", "8", "--batch", "64"]
    flag, _, value = words.partition(" ")
    assert run([*asked, flag, value]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count("\n") == 1
    assert said in printed.err


def test_what_does_not_fit_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    asked = "plan layout --model llama3-8b --device l4 --count 8 --batch 8 --inside 32e9 --layout data=8 --json"
    assert run(asked.split()) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False
    too_large = "plan layout --model llama3-70b --device l4 --count 8 --batch 8 --inside 32e9"
    assert run(too_large.split()) == 2
    assert "give a larger --count" in capsys.readouterr().err
