"""Plans from a record of timings: planted devices whose MFU is known by hand, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from symflops.architectures import architecture
from symflops.cli import run
from symflops.plans.calibrated import calibrated, calibrated_inference
from symflops.plans.inference import Serving
from symflops.plans.relations import PlanError
from symflops.plans.train import Training, train
from symflops.timing.fitted import FitError
from symflops.timing.records import Record
from symflops.timing.samples import Phase, Product, Sample
from symflops.training.hardware import device

H100, PEAK = "NVIDIA H100 80GB HBM3", 989 * 10**12
GPT2, LENGTH = architecture("gpt2"), 1024
ASKED = Training(GPT2, tokens=Fraction(10**9), count=8)
PASSES: tuple[tuple[Phase, int], ...] = (("forward", 1), ("backward", 2))
LAYERS, WIDTH, WORDS = 12, 768, 50257
DENSE = 6 * (LAYERS * 12 * WIDTH**2 + WORDS * WIDTH)
"""Training FLOPs of GPT-2's matmuls for each token: 12 squares of the width in each layer, and the logits."""
PAIRS = 6 * LAYERS * 2 * LENGTH * WIDTH
"""Those of scores and mix, over all pairs."""


FUSED = PAIRS * Fraction(LENGTH + 1, 2 * LENGTH) * Fraction(7, 6)
"""A fused core leaves out pairs that are masked, and computes the scores again: 7 products for 6."""


def samples(dense: float, core: float, slower: float) -> Iterator[Sample]:
    """A device of known peaks that starts a kernel, and moves bytes, in next to no time."""
    bandwidth, latency = 1e18, 1e-10
    for phase, times in PASSES:
        for n in (1, 16, 256, 1024, 4096):
            for d in (64, 512, 4096):
                flops, moved = times * 2 * n * d * d, times * 2 * (2 * n * d + d * d)
                seconds = slower * (latency + max(flops / dense, moved / bandwidth))
                made = times * (Product(1, n, d, d),)
                yield Sample("Feedforward/up", "addmm", phase, {"n": n, "d": d}, flops, moved, (seconds,), made)
            pairs, moved = times * 2 * n * n * 64, times * 16384 * n
            over = (slower * (latency + pairs / core),)
            yield Sample(
                "Attention: Mask/core", "flash causal", phase, {"n_seq": n}, pairs, 8 * n, over, (Product(1, n, n, 64),)
            )
            yield Sample("act", "gelu", phase, {"n": n}, 0, moved, (slower * (latency + moved / bandwidth),))


def record(dense: float = PEAK / 2, core: float = PEAK / 2, slower: float = 1.0) -> Record:
    return Record(H100, {}, "2026-01-31", "bf16", (), tuple(samples(dense, core, slower)))


@cache
def halved(batch: int = 4) -> Training:
    """A training on devices that run at half their peak."""
    return calibrated(ASKED, record(), batch)


def mfu(of: Record) -> Fraction:
    return Fraction(train(calibrated(ASKED, of, 8)).result("mfu").value)


def test_a_device_that_runs_at_half_its_peak_has_the_mfu_of_what_it_leaves_out() -> None:
    by_hand = float((DENSE + PAIRS) / (2 * (DENSE + FUSED)))
    assert by_hand > 0.52
    assert float(mfu(record())) == pytest.approx(by_hand, rel=1e-3)


def test_an_mfu_follows_from_the_peaks_of_matmuls_and_of_attention() -> None:
    """All FLOPs, over those of matmuls at half the peak and those over pairs at a quarter."""
    by_hand = float((DENSE + PAIRS) / (2 * DENSE + 4 * FUSED))
    assert by_hand < 0.5
    assert float(mfu(record(core=PEAK / 4))) == pytest.approx(by_hand, rel=1e-3)


def test_attention_that_was_not_timed_as_one_kernel_is_predicted_as_matmuls() -> None:
    of = record()
    eager = replace(of, samples=tuple(each for each in of.samples if not each.is_core))
    assert float(mfu(eager)) == pytest.approx(1 / 2, rel=1e-3)


def test_a_device_of_twice_the_time_has_half_the_mfu_and_takes_twice_the_days() -> None:
    fast, slow = train(halved()), train(calibrated(ASKED, record(slower=2.0), 4))
    for name, ratio in (("mfu", 0.5), ("days", 2.0), ("t_step", 2.0), ("t_forward", 2.0)):
        assert float(slow.result(name).value / fast.result(name).value) == pytest.approx(ratio, rel=1e-5)


@pytest.mark.parametrize("peak", [None, Fraction(7 * 10**14)])
def test_days_are_those_of_the_steps_whatever_the_peak(peak: Fraction | None) -> None:
    found = train(replace(halved(), peak=peak))
    step = sum(Fraction(found.result(f"t_{part}").value) for part in ("forward", "backward", "optimizer"))
    assert found.result("t_step").value == step
    assert found.result("days").value == step * ASKED.tokens / (4 * LENGTH) / ASKED.count / 86400  # type: ignore[operator]


def test_an_mfu_is_of_the_peak_that_the_plan_uses() -> None:
    slow = calibrated(ASKED, record(core=PEAK / 4))
    plain, other = (train(each).result("mfu").value for each in (slow, replace(slow, peak=Fraction(PEAK, 2))))
    assert other == 2 * plain


def test_seconds_of_the_optimizer_are_a_part_of_the_step() -> None:
    asked = halved()
    assert asked.step is not None
    passes = {**asked.step.seconds, "optimizer": Fraction()}
    shorter = replace(asked, step=replace(asked.step, seconds=passes))
    longer = replace(asked, step=replace(asked.step, seconds={**passes, "optimizer": sum(passes.values(), Fraction())}))
    assert train(longer).result("mfu").value * 2 == train(shorter).result("mfu").value
    assert str(train(longer).result("t_step").formula) == "t_backward + t_forward + t_optimizer"


def test_whatever_else_is_left_out_is_solved_for() -> None:
    days = Fraction(train(halved()).result("days").value)
    devices, tokens = (train(replace(halved(), **{name: None}, days=days)) for name in ("count", "tokens"))  # type: ignore[arg-type]
    assert devices.result("count").value == ASKED.count and tokens.result("tokens").value == ASKED.tokens


def test_the_prefill_is_predicted_beside_its_least_time() -> None:
    plan = calibrated_inference(Serving(GPT2, device("h100"), prompt=LENGTH, batch=8), record())
    names = [each.name for each in plan.results]
    attended = PAIRS / 3 * (LENGTH + 1) / (2 * LENGTH)
    least, predicted = plan.result("prefill_seconds"), plan.result("prefill_predicted_seconds")
    assert names.index(predicted.name) == names.index(least.name) + 1
    assert float(predicted.value) == pytest.approx(8 * LENGTH * (DENSE / 3 + attended) / (PEAK / 2), rel=1e-3)
    assert predicted.value > least.value
    largest = calibrated_inference(Serving(GPT2, device("h100"), prompt=LENGTH), record())
    share = largest.result("prefill_predicted_seconds").value / predicted.value
    assert float(share) == pytest.approx(float(largest.result("largest_batch").value) / 8, rel=1e-3)


Wrote = Callable[..., str]


@pytest.fixture
def wrote(tmp_path: Path) -> Wrote:
    """The path of a record, some of its fields changed."""

    def write(**changes: Any) -> str:
        replace(record(), **changes).write(tmp_path / "record.json")
        return str(tmp_path / "record.json")

    return write


TRAIN = "train --model gpt2 --tokens 1e9 --count 8"


def test_the_page_and_json_say_what_the_mfu_follows_from(wrote: Wrote, capsys: pytest.CaptureFixture[str]) -> None:
    line = [*f"plan {TRAIN} --batch 8 --calibration".split(), wrote()]
    assert run(line) == 0
    shown = capsys.readouterr().out
    assert all(each in shown for each in (H100, "2026-01-31", "a step, predicted", "at MFU 0.5"))
    assert run([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    given = {name: found["inputs"][f"record_{name}"] for name in ("device", "dtype", "date", "attention")}
    assert given == {"device": H100, "dtype": "bf16", "date": "2026-01-31", "attention": "flash"}
    assert found["inputs"]["device"] == "h100" and found["inputs"]["n_batch"]["value"] == 8
    assert (
        found["formula"]["mfu"] == "C_step/(peak*t_step)"
        and found["formula"]["t_step"] == "t_backward + t_forward + t_optimizer"
    )
    step = 2 * 8 * LENGTH * float(DENSE + FUSED) / PEAK
    assert found["results"]["t_step"]["value"] == pytest.approx(step, rel=1e-3)
    assert found["results"]["mfu"]["value"] == pytest.approx(float((DENSE + PAIRS) / (2 * (DENSE + FUSED))), rel=1e-3)


def test_a_record_of_no_known_accelerator_is_of_this_machine(wrote: Wrote, capsys: pytest.CaptureFixture[str]) -> None:
    slow = {"device": "AMD EPYC", "dtype": "fp32", "samples": record(1e6, 1e6).samples}
    line = [*f"plan {TRAIN} --dtype fp32 --calibration".split(), wrote(**slow), "--json"]
    assert run([*line, "--device", "this"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["results"]["mfu"]["value"] < 0.1
    assert run([*line, "--peak", "2e6"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["mfu"]["value"] == pytest.approx(0.529, rel=1e-2)


@pytest.mark.parametrize(
    ("line", "changes", "said"),
    [
        (f"{TRAIN} --mfu 0.4", {}, "--mfu and --calibration both say the MFU"),
        ("train --params 1e9 --tokens 1e9 --count 8", {}, "give --model, such as --model gpt2"),
        ("train --tokens 1e9 --count 8", {}, "give --model, such as --model gpt2"),
        (f"{TRAIN} --dtype fp16", {}, "the record is of bf16 and --dtype is fp16; give --dtype bf16"),
        (f"{TRAIN} --device a100", {}, f"the record is of '{H100}' and --device is a100; give --device h100"),
        (f"{TRAIN} --device this", {}, "--device is this; give --device h100"),
        (f"{TRAIN} --device h100", {"device": "AMD EPYC"}, "--device is h100; give --device this"),
        (TRAIN, {"device": "AMD EPYC"}, "no peak is known of the record's device 'AMD EPYC'; give --device this or"),
        (f"{TRAIN} --batch 1.5", {}, "--batch is '1.5'; give a whole number"),
        (f"{TRAIN} --peak 1979e12", {}, "structured sparsity"),
        (f"{TRAIN} --recompute full", {}, "steps that compute nothing again"),
        (f"{TRAIN} --optimizer sgd", {}, "predicts a step of adamw; leave out --optimizer sgd"),
        (f"{TRAIN} --days 3", {}, "nothing is open: --tokens, --count, --days are all given"),
        ("train --model gpt2 --tokens 1e9", {}, "--days and --count are open"),
        (TRAIN, {"samples": ()}, f"nothing in the record of {H100} can be fitted"),
        (TRAIN, {"samples": record(2 * PEAK, 2 * PEAK).samples}, "an MFU of 2.12, and no device exceeds 1"),
        ("inference --model gpt2 --device a100", {}, "--device is a100; give --device h100"),
        ("inference --model gpt2 --device h100 --count 2", {}, "predicts prefill on one device"),
        ("inference --model gpt2 --device h100 --dtype fp8", {}, "give --dtype bf16"),
    ],
)
def test_a_record_that_does_not_fit_gets_one_line(
    line: str, changes: dict[str, Any], said: str, wrote: Wrote, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", *line.split(), "--calibration", wrote(**changes)]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count("\n") == 1
    assert said in printed.err


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "No such file"), ("gpt2", "this is not JSON"), ("{}", "no 'device'"), ("[]", "a record is an object")],
)
@pytest.mark.parametrize("line", [TRAIN, "inference --model gpt2 --device h100"])
def test_a_file_that_is_no_record_gets_one_line(
    line: str, text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert run(["plan", *line.split(), "--calibration", str(path)]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count("\n") == 1
    assert said in printed.err


def test_a_batch_takes_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"plan {TRAIN} --device h100 --mfu 0.4 --batch 8".split()) == 2
    assert "give --calibration too" in capsys.readouterr().err


def test_what_was_not_timed_is_not_predicted() -> None:
    alone = replace(record(), samples=tuple(each for each in record().samples if each.operation == "act"))
    with pytest.raises(FitError, match="nothing of kind"):
        calibrated(ASKED, alone)


def test_a_step_of_other_sequences_is_predicted_again() -> None:
    asked = halved()
    with pytest.raises(PlanError, match="predicted of sequences of 1024 tokens"):
        train(replace(asked, seq=512))
    with pytest.raises(PlanError, match=r"nothing is open: .*--mfu.*--calibration"):
        train(replace(asked, mfu=Fraction(1, 2)))


def test_a_record_is_read_without_torch(wrote: Wrote) -> None:
    code = (
        "import sys; from symflops.cli import run; assert run(sys.argv[1:]) == 0; "
        "assert 'numpy' in sys.modules and 'torch' not in sys.modules"
    )
    line = [*f"plan {TRAIN} --calibration".split(), wrote()]
    assert subprocess.run([sys.executable, "-c", code, *line], capture_output=True, check=False).returncode == 0
