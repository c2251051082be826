"""Sweeps against loops over single models: every family and kind of axis, points that are no model, planted faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import family_configs
import numpy as np
import pytest

from symflops.architectures import Architecture, architecture
from symflops.architectures.families import FAMILIES
from symflops.errors import ConfigError, SizeError, SymflopsError, UnknownName
from symflops.measures import active_params
from symflops.notation import n_batch, n_layer
from symflops.plans.train import Training, train
from symflops.sweeping import held, prepared, sweep
from symflops.sweeping.parts import Forms, Sweep
from symflops.sweeping.running import Form
from symflops.training.checkpoints import NONE, memory
from symflops.training.hardware import device

MISSING: dict[str, dict[str, int]] = {"deepseek_v2": {"num_experts_per_tok": 2}}
"""What a config class of a family has no default for."""
MEASURES = ("params", "N", "active", "C_forward", "C_training", "cache_bytes")


def one(model: Architecture, measure: str, n_batch: int, n_seq: int) -> int:
    """A measure of a single model, by the methods of architectures."""
    kinds: dict[str, Any] = {"params": "all", "N": "non_embedding", "active": "active"}
    if measure in kinds:
        return model.params(kinds[measure])
    if measure == "cache_bytes":
        return model.cache_bytes(n_batch, n_seq)
    return int(model.flops(n_batch, n_seq, "torch", "training" if measure == "C_training" else "forward").expr)


def looped(model: Architecture, over: Mapping[str, Sequence[int]], measures: Sequence[str]) -> Iterator[dict[str, int]]:
    """What a sweep is, by a loop: the points that `with_sizes` accepts, each with its measures."""
    for values in product(*over.values()):
        point = dict(zip(over, values, strict=True))
        n_batch, n_seq = point.get("batch", 1), point.get("seq")
        try:
            found = model.with_sizes(**{name: size for name, size in point.items() if name not in ("batch", "seq")})
        except (SizeError, ConfigError):
            continue
        length = found.length(n_seq)
        yield {**point, **{name: one(found, name, n_batch, length) for name in measures}}


def agrees(model: Architecture, over: Mapping[str, Sequence[int]], measures: Sequence[str] = MEASURES) -> int:
    """Compares both; the number of points."""
    expected = {tuple(row[name] for name in over): row for row in looped(model, over, measures)}
    found = sweep(model, over, measures)
    rows = {tuple(row[name] for name in over): row for row in found.rows()}
    assert rows == expected
    assert len(found) + sum(found.dropped.values()) == np.prod([len(values) for values in over.values()])
    return len(rows)


def test_a_grid_of_gpt2_and_its_heads() -> None:
    over = {
        "n_layer": [1, 12, 48],
        "d_model": [64, 96, 768, 770],
        "n_head": [1, 5, 12],
        "seq": [1, 7, 1024],
        "batch": [1, 3],
    }
    assert 0 < agrees(architecture("gpt2"), over) < 216


def test_a_grid_of_llama_whose_groups_divide_its_heads() -> None:
    over = {
        "n_layer": [1, 80],
        "d_model": [4096, 5120],
        "n_head": [8, 12, 32],
        "n_kv_head": [1, 8, 12],
        "d_ff": [100, 14336],
    }
    assert 0 < agrees(architecture("llama3-8b"), over) < 72


@pytest.mark.parametrize(
    ("name", "over"),
    [
        ("mistral-7b", {"n_layer": [2, 32], "n_window": [16, 4096], "seq": [8, 16, 40]}),
        ("mixtral-8x7b", {"n_layer": [2, 32], "n_expert": [1, 2, 8], "n_active": [1, 2, 3]}),
        ("deepseek-v3", {"n_layer": [2, 3, 5], "n_layer_dense": [1, 3], "n_head": [16, 128]}),
    ],
)
def test_networks_with_windows_experts_and_several_kinds_of_layers(name: str, over: dict[str, list[int]]) -> None:
    assert agrees(architecture(name), over) > 1


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_over_each_of_its_sizes(family: str) -> None:
    first = {name: values[0] for name, values in family_configs.FAMILIES.get(family, {}).items()}
    model = architecture({"model_type": family, **MISSING.get(family, {}), **first})
    lengths = {} if "n_ctx" in model.sizes else {"seq": [8, 24]}
    for name, size in model.sizes.items():
        if model.table[name].name and (
            others := [each for each in (1, size + 1, 2 * size) if accepts(model, name, each)]
        ):
            assert agrees(model, {name: sorted({size, *others}), **lengths}, ("params", "C_training"))


def accepts(model: Architecture, name: str, value: int) -> bool:
    """Whether there is a model of the family with another value of one size."""
    try:
        model.with_sizes(**{name: value})
    except SymflopsError:
        return False
    return True


def test_sequences_that_fill_up_chunks() -> None:
    name = next(name for name, each in FAMILIES.items() if ("n_chunk", "n_seq") in each.divides)
    model = architecture({"model_type": name})
    chunk = model.sizes["n_chunk"]
    assert agrees(model, {"seq": [chunk - 1, chunk, 2 * chunk, 2 * chunk + 3], "n_layer": [1, 2]}, ("C_forward",)) == 8


def test_saved_bytes_are_those_of_each_model() -> None:
    model = architecture({"model_type": "bloom"})
    for row in sweep(model, {"n_layer": [2, 24], "seq": [16, 1024], "batch": [1, 8]}, ["saved_bytes"]).rows():
        changed = model.with_sizes(n_layer=row["n_layer"])
        parts = memory(changed.network, NONE, 2).values()
        assert row["saved_bytes"] == sum(
            int(changed.at(part, n_batch=row["batch"], n_seq=row["seq"])) for part in parts
        )


def test_days_are_those_of_the_plan() -> None:
    model = architecture("llama3-8b")
    over = {
        "device": ["a100", "h100"],
        "mfu": ["0.3", Fraction(2, 5)],
        "count": [8, 1000],
        "tokens": "15e12",
        "seq": [8192],
    }
    found = sweep(model, over, ["days", "tokens_per_second", "device_hours", "energy"])
    assert len(found) == 8
    for row in found.rows():
        plan = train(
            Training(model, tokens=Fraction(row["tokens"]), device=device(row["device"]), count=row["count"],
                     mfu=Fraction(row["mfu"]), seq=row["seq"])
        )  # fmt: skip
        assert {
            name: plan.result(name).value
            for name in row.keys() & {"days", "tokens_per_second", "device_hours", "energy"}
        } == {name: row[name] for name in ("days", "tokens_per_second", "device_hours", "energy")}


def test_values_beyond_int64_are_exact() -> None:
    model = architecture("llama3-8b")
    over = {"batch": [1, 10**6, 10**12], "seq": [1, 8192, 10**15]}
    found = sweep(model, over, ["C_training", "params"])
    assert found.columns["C_training"].dtype == object and found.columns["params"].dtype == np.int64
    assert max(found.columns["C_training"]) > 2**100
    agrees(model, over, ("C_training", "params"))
    agrees(model, {"batch": [2**63, 2**70], "seq": [5]}, ("C_forward",))


def test_the_last_value_that_fits_is_int64_and_the_next_is_not() -> None:
    three = Form.of(3 * n_batch)
    last = (2**63 - 1) // 3
    assert three.values({"n_batch": np.array([1, last])}, "int64").tolist() == [3, 3 * last]
    wide = three.values({"n_batch": np.array([1, last + 1])}, "integer")
    assert wide.dtype == object and wide.tolist() == [3, 3 * last + 3]
    with pytest.raises(SizeError, match="int64 does not hold"):
        three.values({"n_batch": np.array([1, last + 1])}, "int64")


def test_float64_is_the_exact_value_rounded_once() -> None:
    over = {"device": "a100,h100", "mfu": "0.3,0.4,0.7", "count": "3:999:83", "tokens": "15e12", "seq": "1:5"}
    exact = sweep("llama3-8b", over, ["days", "C_run"])
    rounded = sweep("llama3-8b", over, ["days", "C_run"], numbers="float64")
    for name in ("days", "C_run", "mfu"):
        assert rounded.columns[name].dtype == np.float64
        assert rounded.columns[name].tolist() == [float(each) for each in exact.columns[name]]
    assert {type(each) for each in exact.columns["days"]} <= {int, Fraction}


def test_conditions_keep_the_points_that_meet_them() -> None:
    over = {"n_layer": range(1, 30), "d_model": range(64, 1025, 32), "n_head": [4, 12]}
    every = sweep("gpt2", over, ["params"]).rows()
    where = ["d_model % 128 == 0", "params <= 100e6", "d_model / n_layer >= 16", "n_head != 12"]
    found = sweep("gpt2", over, ["params"], where=where)
    assert found.rows() == [
        row for row in every
        if row["d_model"] % 128 == 0 and row["params"] <= 100e6
        and row["d_model"] >= 16 * row["n_layer"] and row["n_head"] != 12
    ]  # fmt: skip
    assert len(found) and set(where) <= set(found.dropped)
    assert sum(found.dropped.values()) == 29 * 31 * 2 - len(found)


def test_zipped_names_vary_together() -> None:
    over = {"n_layer": [12, 24, 36], "seq": [128, 256], "d_model": [768, 1024, 1280], "n_head": [12, 16, 20]}
    rows = sweep("gpt2", over, ["params"], zipped=[["n_layer", "d_model", "n_head"]]).rows()
    assert [(row["n_layer"], row["d_model"], row["n_head"], row["seq"]) for row in rows] == [
        (layers, width, heads, length)
        for layers, width, heads in zip(over["n_layer"], over["d_model"], over["n_head"], strict=True)
        for length in over["seq"]
    ]


def test_what_is_unfit_is_refused_where_that_is_chosen() -> None:
    with pytest.raises(SizeError, match="does not hold at n_head = 5"):
        prepared("gpt2", {"n_head": [12, 5]}, ["params"], unfit="refuse")
    with pytest.raises(SizeError, match="n_active is at most n_expert"):
        prepared("mixtral-8x7b", {"n_active": [2, 9]}, ["params"], unfit="refuse")
    assert len(sweep("gpt2", {"n_head": [12, 6]}, ["params"], unfit="refuse")) == 2


def test_a_planted_fault_is_caught() -> None:
    model, over = architecture("gpt2"), {"n_layer": [1, 12], "d_model": [768, 1536]}
    right = prepared(model, over, ["params"])
    wrong = Form.of(active_params(model.at(model.network)) + n_layer)
    (forms,) = right.forms
    assert isinstance(forms, Forms)
    broken: Sweep = replace(right, forms=(replace(forms, measures={"params": wrong}),))
    expected = [row["params"] for row in looped(model, over, ["params"])]
    assert held(right).columns["params"].tolist() == expected != held(broken).columns["params"].tolist()


@pytest.mark.parametrize(
    ("over", "measures", "error", "said"),
    [
        ({"d_modle": 8}, ["params"], UnknownName, "did you mean 'd_model'"),
        ({"n_layer": []}, ["params"], SizeError, "n_layer has no values"),
        ({"n_layer": [1, 1]}, ["params"], SizeError, "twice"),
        ({"n_layer": 1.5}, ["params"], SizeError, "positive integer"),
        ({"n_layer": True}, ["params"], SizeError, "give numbers"),
        ({"n_layer": "8:1"}, ["params"], SizeError, "no values"),
        ({"n_layer": "1:8:0"}, ["params"], SizeError, "FIRST:LAST:STEP"),
        ({"n_layer": "system(1)"}, ["params"], SizeError, "give numbers"),
        ({"n_layer": "1:10**9"}, ["params"], SizeError, "more than 10,000,000 values"),
        ({"seq": 8, "n_seq": 8}, ["params"], SizeError, "seq and n_seq both give n_seq"),
        ({"device": "h1000"}, ["params"], UnknownName, "did you mean 'h100'"),
        ({"mfu": 1.2}, ["params"], SizeError, "shares"),
        ({"n_layer": 2}, ["dys"], UnknownName, "did you mean 'days'"),
        ({"n_layer": 2}, ["days"], SizeError, "days needs MFU, n_device, n_token, peak"),
        ({"n_layer": 2}, [], SizeError, "nothing is measured"),
        ({}, ["params"], SizeError, "nothing varies"),
        ({"d_model": 770, "n_head": 12}, ["params"], SizeError, "no point of the grid is left"),
    ],
)
def test_bad_input_is_refused_in_one_line(over: Any, measures: list[str], error: type, said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        sweep("gpt2", over, measures)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
