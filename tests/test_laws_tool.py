"""Laws as a tool: strategies that shrink, adapters, claims in words, reports."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from symflops import architecture, flops, params
from symflops.architectures import FAMILIES
from symflops.errors import SymflopsError
from symflops.laws import strategies
from symflops.laws.adapters import Adapter, NotAsked, adapter, cost
from symflops.laws.cost import Case, Claims, CostError
from symflops.laws.drawing import own, probe, sized
from symflops.laws.law import Law, proved
from symflops.laws.running import assert_holds, check, chosen, run_own
from symflops.notation import n_head, n_kv_head


def smallest_case(family: str, condition: Callable[[Case], bool]) -> Case:
    """What Hypothesis shrinks to."""
    using = settings(phases=(Phase.generate, Phase.shrink), database=None, deadline=None)
    return find(strategies.cases([family]), condition, settings=using, random=random.Random(0))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_small_models_of_any_size(family: str) -> None:
    """Sizes drawn one by one fit each other, and shrink to the smallest that do."""
    for seed in range(8):
        chooser = random.Random(seed)
        assert sized(family, lambda name, values, by=chooser: by.choice(values)).params() > 0
    smallest = smallest_case(family, lambda case: True)
    first = Case(sized(family, lambda name, values: values[0]))
    assert smallest.sizes == first.sizes and smallest.sizes["n_layer"] == 1
    assert len({repr(probe(family, index)) for index in range(4)}) == 4


@pytest.mark.parametrize("size", own("llama"))
def test_a_size_that_matters_is_all_that_is_not_smallest(size: str) -> None:
    first = Case(sized("llama", lambda name, values: values[0])).sizes
    found = smallest_case("llama", lambda case: case.sizes[size] > first[size])
    forced = {"n_kv_head": {"n_head", "d_model"}, "n_head": {"d_model"}}.get(size, set())
    assert {name for name in first if found.sizes[name] != first[name]} == {size, *forced}


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen3", "mixtral", "gemma2"])
def test_models_that_are_drawn_are_models_of_transformers(family: str) -> None:
    """A real module of the config that a cost function is given has as many parameters."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    for seed in range(6):
        chooser = random.Random(seed)
        model = sized(family, lambda name, values, by=chooser: by.choice(values))

        def stored(config: dict[str, Any]) -> int:
            with torch.device("meta"):
                made = transformers.AutoConfig.for_model(**{"pad_token_id": None, **config})
                module = transformers.AutoModelForCausalLM.from_config(made)
            return sum(each.numel() for each in module.parameters())

        assert cost(stored, Adapter({"config": "config"})).of(Case(model)) == model.params()


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_setups_recompute_what_they_say(data: st.DataObject) -> None:
    setup, network = data.draw(strategies.setups), data.draw(strategies.networks)
    more = flops(setup.of(network), "torch", "training").expr - flops(network, "torch", "training").expr
    assert params(setup.of(network)) == params(network)
    assert setup.recompute == "everything" or more == 0


def six_n(n_layer, d_model, d_ff, n_vocab, n_seq):
    return 6 * n_layer * (4 * d_model**2 + 2 * d_model * d_ff + 2 * d_model * n_seq) + 6 * d_model * n_vocab


def of_config(config, seq_len):
    width = config.n_head * (config["n_embd"] // config.n_head)
    layer = 4 * width * config.n_embd + 2 * config.n_embd * (config.n_inner or 4 * width) + 2 * width * seq_len
    return {"tflops": 6 * (config.n_layer * layer + config.n_embd * config.vocab_size) / 10**12, "other": 1}


def of_name(name, seq_len):
    """Of the published sizes: GPT-3's 13B has heads that are not as wide together as the model."""
    sizes = architecture(name).sizes
    wide = 4 * (sizes["n_head"] * sizes["d_head"] - sizes["d_model"]) * sizes["d_model"]
    wide += 2 * (sizes["n_head"] * sizes["d_head"] - sizes["d_model"]) * seq_len
    known = {size: sizes[size] for size in ("n_layer", "d_model", "d_ff", "n_vocab")}
    return six_n(**known, n_seq=seq_len) + 6 * sizes["n_layer"] * wide


def of_case(case):
    return six_n(**{name: case.sizes[name] for name in ("n_layer", "d_model", "d_ff", "n_vocab", "n_seq")})


@pytest.mark.parametrize(
    ("function", "more"),
    [(six_n, {}), (of_config, {"result": "tflops", "scale": 10**12}), (of_name, {}), (of_case, {})],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_function_may_be_called_in_any_way(function: Any, more: dict[str, Any]) -> None:
    how = adapter(
        function, "training per=token families=gpt2" + " d_head=d_model/n_head" * (function is of_case), **more
    )
    whole = cost(function, how).of(Case(architecture("gpt2"), n_seq=1024))
    assert whole == six_n(12, 768, 3072, 50257, 1024)
    report = check(function, how, examples=8)
    assert report.holds and len(report.of("holds")) >= (3 if function is of_name else 10)


def test_arguments_are_formulas_of_sizes_and_results_have_places() -> None:
    def flops_of(width: int, *, layers: int, depth: int = 3) -> tuple[int, int]:
        return depth, width * layers

    how = adapter(flops_of, arguments={"width": "n_head*d_head", "layers": "n_layer"}, result=1)
    assert cost(flops_of, how).of(Case(architecture("gpt2"))) == 768 * 12


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: adapter(lambda foo: 1), "takes 'foo', which is no size by that name; say what it is given"),
        (lambda: adapter(six_n, arguments={"foo": "d_ff"}), "has no argument 'foo'; it has n_layer, d_model"),
        (lambda: adapter(lambda foo: 1, arguments={"foo": "d_fff"}), "'d_fff' is no size"),
        (lambda: adapter(dict), "does not say what it is called with"),
        (lambda: adapter(six_n, "training per=image"), "unknown value of per 'image'"),
        (lambda: adapter(six_n, "trainign"), "did you mean 'training'"),
        (lambda: adapter(six_n, "counts=heads"), "unknown role 'heads'; did you mean 'head'?"),
        (lambda: adapter(six_n, "families=lama"), "did you mean 'llama'"),
        (lambda: adapter(six_n, "convention=plam"), "did you mean 'palm'"),
        (lambda: adapter(six_n, "forward recompute=full"), "work of the backward pass; claim training or backward"),
        (lambda: Claims(counts=frozenset({"heads"})), "no operation has the role 'heads'"),
        (lambda: adapter(six_n, "vocab=3"), "unknown claim, size or config field 'vocab'"),
        (lambda: chosen(["layer-linear"]), "did you mean 'layer-linearity'"),
        (lambda: cost(of_config, adapter(of_config)).of(Case(architecture("gpt2"))), "choose one of tflops, other"),
    ],
)
def test_bad_input_is_told_in_one_line(make: Any, words: str) -> None:
    with pytest.raises(SymflopsError) as caught:
        make()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_case_that_a_function_is_not_for_is_not_asked() -> None:
    how = adapter(six_n, "training per=token families=llama d_ff=3*d_model")
    assert how.where == {"d_head": "d_model/n_head", "n_kv_head": "n_head", "d_ff": "3*d_model"}
    with pytest.raises(NotAsked):
        cost(six_n, how).of(Case(architecture("llama3-8b")))


def test_what_a_function_claims_may_stand_with_it() -> None:
    def mine(n_layer: int) -> int:
        return n_layer

    mine.claims = "flops forward counts=qkv"  # type: ignore[attr-defined]
    assert adapter(mine).claims == Claims(phase="forward", counts=frozenset({"qkv"}))


def raising(n_layer: int) -> float:
    return 1 / (n_layer - 2)


def not_a_number(n_layer: int) -> float:
    return float("nan") if n_layer > 1 else 1.0


def by_chance(n_layer: int) -> float:
    return random.random()


@pytest.mark.parametrize(
    ("function", "words"),
    [(raising, "ZeroDivisionError"), (not_a_number, "no finite number"), (by_chance, "asked twice")],
)
def test_what_is_no_number_is_reported_with_the_case(function: Any, words: str) -> None:
    report = check(function, "families=gpt2", examples=20)
    first = report.failures[0]
    assert first.law.name == "returns-a-number" and first.case is not None and words in first.told()
    assert first.case.sizes["n_layer"] == (1 if function is by_chance else 2)


@pytest.mark.parametrize(("error", "broken"), [(KeyError, True), (ValueError, False)])
def test_a_function_may_refuse_other_sizes_but_not_fail_at_them(error: type[Exception], broken: bool) -> None:
    def few_tokens(n_layer: int, d_model: int, d_ff: int, n_vocab: int, n_seq: int) -> int:
        if n_seq > 8:
            raise error(n_seq)
        return six_n(n_layer, d_model, d_ff, n_vocab, n_seq)

    report = check(few_tokens, "training per=token families=gpt2", examples=20, laws=["length-degree"])
    assert report.holds is not broken
    if broken:
        [found] = report.failures
        assert found.case is not None and found.case.sizes["n_seq"] in (6, 7) and "KeyError" in found.told()


def forgets_layers(n_layer: int, d_model: int, n_vocab: int) -> int:
    return 6 * n_vocab * d_model + (n_layer**2 if n_layer > 13 else n_layer)


def test_a_check_is_the_same_each_time_and_asserts() -> None:
    first, second = (check(forgets_layers, "families=gpt2", examples=15).as_json() for _ in range(2))
    assert first == second and not first["holds"]
    with pytest.raises(AssertionError, match=r"smallest case: gpt2\(n_layer=1, .*\n.*against.*\n  source: "):
        assert_holds(forgets_layers, "families=gpt2", examples=15)


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "json"])
def test_a_report_is_a_page_in_every_format(form: str) -> None:
    report = check(forgets_layers, "families=gpt2", examples=5, laws=["length-curvature", "vocabulary-slope"])
    assert "length-curvature" in report.show(form) and "<html" in report._repr_html_()
    assert [each.law.name for each in report.failures] == ["length-curvature"]


def test_a_case_that_broke_a_law_is_kept_and_asked_first(tmp_path: Path) -> None:
    asked: list[int] = []

    def wide(n_layer: int, d_model: int, n_vocab: int, d_ff: int) -> int:
        asked.append(d_model)
        return 6 * d_model * n_vocab if d_model < 8 else d_model

    how = adapter(wide, "training per=token counts=logits families=gpt2")
    [first] = check(wide, how, database=tmp_path, laws=["vocabulary-slope"]).failures
    assert first.case is not None and first.case.sizes["d_model"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["wide.vocabulary-slope.json"]
    asked.clear()
    [again] = check(wide, how, database=tmp_path, laws=["vocabulary-slope"], seed=1, examples=1).failures
    assert again.case is not None and again.case.sizes == first.case.sizes and again.cases == 1
    (tmp_path / "wide.vocabulary-slope.json").write_text("[3]")
    with pytest.raises(CostError, match="holds no cases that symflops kept"):
        check(wide, how, database=tmp_path, laws=["vocabulary-slope"])


def test_laws_run_on_our_own_declarations_and_one_that_is_false_is_found() -> None:
    false = Law("fewer-heads", "n_{kv} < n", "Never as many.", "nobody", "all sizes", "heads",
                show=lambda: [proved("heads", n_kv_head < n_head), proved("same", n_head <= n_head)])  # fmt: skip
    ran = run_own((*chosen(["flops-are-two-macs"]), false))
    assert [each.law.name for each in ran.failures] == ["fewer-heads"] and not ran.holds
    assert "counterexample" in ran.show() and ran.as_json()["laws"][1]["instances"] == 2


def test_without_hypothesis_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "hypothesis"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(CostError, match=r"pip install symflops\[laws\]"):
        check(six_n, "families=gpt2")
