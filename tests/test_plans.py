"""Plans against the lecture's figures, real tensors, and themselves solved for every unknown."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from autograd_kept import autograd
from hypothesis import given, settings
from hypothesis import strategies as st

from symflops.architectures import architecture
from symflops.cli import run
from symflops.plans.inference import Serving, inference
from symflops.plans.largest import Room, largest, scaled
from symflops.plans.memory import Holding, held
from symflops.plans.train import Training, train
from symflops.training.checkpoints import FULL, scheme
from symflops.training.hardware import device, devices
from symflops.training.optimizers import optimizer
from symflops.training.precision import precision

LECTURE = Training(
    params=Fraction(70 * 10**9), tokens=Fraction(15 * 10**12), device=device("h100"), count=1024, mfu=Fraction(1, 2),
    peak=Fraction(1979 * 10**12, 2),
)  # fmt: skip


def test_the_lecture_opens_with_144_days() -> None:
    """CS336, lecture 2: 70B parameters, 15T tokens, 1024 H100s at half of 1979/2 TFLOP/s: 143.93 days."""
    by_hand = 6 * 70e9 * 15e12 / (1979e12 / 2 * 0.5 * 1024 * 60 * 60 * 24)
    assert float(train(LECTURE).result("days").value) == pytest.approx(by_hand, rel=1e-12)


def test_the_lecture_s_largest_model() -> None:
    """CS336, lecture 2: 80e9 bytes of 8 devices over 4 + 4 + (4 + 4) bytes: 40 billion parameters."""
    found = largest(Room(device("h100"), 8, optimizer("adamw"), precision("fp32")))
    assert found.result("params").value == 40 * 10**9


@given(
    st.integers(1, 10**12), st.integers(1, 10**14), st.integers(1, 10**5), st.fractions(Fraction(1, 100), 1)
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_whichever_is_left_out_is_found_again(params: int, tokens: int, count: int, mfu: Fraction) -> None:
    whole = Training(params=Fraction(params), tokens=Fraction(tokens), device=device("h100"), count=count, mfu=mfu)
    days = Fraction(train(whole).result("days").value)
    known = replace(whole, days=days)
    for name in ("params", "tokens", "count", "mfu"):
        assert train(replace(known, **{name: None})).result(name).value == getattr(whole, name)


def test_a_planted_fault_is_not_found_again() -> None:
    days = Fraction(train(LECTURE).result("days").value) * Fraction(101, 100)
    assert train(replace(LECTURE, days=days, tokens=None)).result("tokens").value != LECTURE.tokens


def test_devices_come_whole() -> None:
    found = train(replace(LECTURE, count=None, days=Fraction(30)))
    assert found.result("count").value == 4913
    assert found.result("days").value < 30
    fewer = train(replace(LECTURE, count=4912))
    assert fewer.result("days").value > 30


def test_llama_3_took_about_as_many_hours_as_its_model_card_says() -> None:
    """Llama 3.1 405B: 30.84 million hours of H100s (model card), 38 to 43 % MFU (Dubey et al. 2024, table 4)."""
    model = architecture("llama3-405b")
    asked = Training(model, tokens=Fraction("15.6e12"), device=device("h100"), count=16384, seq=8192)
    low, high = (train(replace(asked, mfu=Fraction(each, 100))).result("device_hours").value for each in (43, 38))
    assert low < 30_840_000 < high * Fraction(11, 10)


def test_recomputation_takes_hardware_flops_alone() -> None:
    model = architecture("bloom-560m")
    asked = Training(model, tokens=Fraction(10**9), device=device("a100"), count=8, mfu=Fraction(3, 10), seq=1024)
    plain, again = train(asked), train(replace(asked, recompute=FULL))
    assert plain.result("days").value == again.result("days").value
    assert plain.result("hfu").value == Fraction(3, 10)
    # Layers are 4 forward passes instead of 3; the logits are not.
    assert 1.15 < float(again.result("hfu").value) / 0.3 < 4 / 3


def test_every_byte_of_a_real_training_step_is_in_the_plan() -> None:
    """BLOOM in float32: parameters, gradients, AdamW's states, and what autograd saves, in all and part by part."""
    import torch
    from transformers import AutoModelForCausalLM, BloomConfig

    config = BloomConfig(
        hidden_size=32, n_head=4, n_layer=3, vocab_size=50, hidden_dropout=0.0, attention_dropout=0.0, use_cache=False
    )
    real = AutoModelForCausalLM.from_config(config, attn_implementation="eager").train()
    made = torch.optim.AdamW(real.parameters())
    ids = torch.randint(50, (2, 8))
    owned = {each.untyped_storage().data_ptr() for each in real.parameters()}
    kept = autograd(lambda: real(ids).logits.sum().backward(), owned)
    made.step()
    asked = Holding(
        architecture({**config.to_dict(), "model_type": "bloom"}), precision("fp32"), optimizer("adamw"), batch=2, seq=8
    )
    found = held(asked)
    size = lambda tensors: sum(each.nbytes for each in tensors)  # noqa: E731
    states = [value for state in made.state.values() for value in state.values()]
    assert found.result("parameters").value == size(real.parameters())
    assert found.result("gradients").value == size(each.grad for each in real.parameters())
    assert found.result("optimizer").value == size(states)
    assert found.result("activations").value == sum(kept.values())


def test_sharding_shares_what_it_says() -> None:
    one = Holding(architecture("gpt2"), precision("mixed-bf16"), count=1)
    parts = ("parameters", "gradients", "optimizer")
    alone = [held(one).result(part).value for part in parts]
    shares = {"ddp": (1, 1, 1), "zero1": (1, 1, 8), "zero2": (1, 8, 8), "zero3": (8, 8, 8), "fsdp": (8, 8, 8)}
    for sharding, by in shares.items():
        found = held(replace(one, count=8, sharding=sharding))
        assert [found.result(part).value * ways for part, ways in zip(parts, by, strict=True)] == alone


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    asked = Holding(architecture("gpt2-xl", "flash"), precision("mixed-bf16"), device=device("a100"))
    best = held(asked).result("largest_batch").value
    assert held(replace(asked, batch=best)).holds
    assert not held(replace(asked, batch=best + 1)).holds


def test_the_largest_of_a_shape_fits_and_the_next_does_not() -> None:
    room = Room(device("h100"), 8, optimizer("adamw"), precision("fp32"), architecture("llama3-8b", "flash"), 1, 4096)
    found = largest(room)
    naive = largest(replace(room, shape=None)).result("params").value
    assert found.holds and found.result("params").value < naive
    groups = scaled(room.shape, 1).params()  # type: ignore[arg-type]
    assert groups < found.result("params").value
    more = largest(replace(room, recompute=scheme("full"))).result("params").value
    assert found.result("params").value < more < naive


def test_a_batch_beyond_the_turn_is_bound_by_compute() -> None:
    asked = Serving(
        architecture("llama3-8b", "flash"), device("h100"), prompt=128, new=1, weights="fp8", cache="fp8", form="bf16"
    )
    turn = inference(asked).result("turning_batch").value
    below, above = (inference(replace(asked, batch=int(turn) + more)).binding for more in (0, 1))
    assert below.startswith("decoding: memory") and above.startswith("decoding: compute")


def test_the_largest_served_batch_is_what_memory_holds() -> None:
    model = architecture("llama3-8b")
    asked = Serving(model, device("h100"), prompt=4000, new=96)
    left = 80 * 10**9 - 2 * model.params()
    by_loop = 0
    while (by_loop + 1) * 2 * 2 * 32 * 8 * 128 * 4096 <= left:
        by_loop += 1
    assert inference(asked).result("largest_batch").value == by_loop


def test_devices_are_the_rows_of_the_table() -> None:
    assert all(each.peaks for each in devices().values())
    assert device("a100").needs("bandwidth") == Fraction("2.04") * 10**12  # the row's misprint is mended
    assert device("rtx 4090").peak("bf16") == Fraction("165.2") * 10**12
    assert device("H100-SXM").peak("fp8") == 2 * 10**12 * Fraction("989.5")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train --params 70e9 --tokens 15e12 --device h100 --count 8 --mfu 1.5", "MFU is 1.5; give a share"),
        ("train --params 70e9 --tokens 15e12 --device h100 --count 8 --mfu 0", "--mfu is '0'; give a positive number"),
        ("train --params 70e9 --tokens 15e12 --device h100 --count 8", "--mfu and --days are open"),
        ("train --params 70e9 --tokens 1 --device h100 --count 8 --mfu 1 --days 1", "nothing is open: --tokens, "),
        ("train --params 70e9 --tokens 15e12 --device h100 --count 8 --days 1", "at its peak it takes"),
        ("train --params 70e9 --tokens 15e12 --device h101 --count 8 --days 1", "did you mean 'h100'"),
        ("train --params 7e9 --tokens 1e12 --device h100 --peak 1979e12 --count 8 --mfu 0.4", "structured sparsity"),
        (
            "train --params 7e9 --tokens 1e12 --device v100 --count 8 --mfu 0.4",
            "v100 has no peak for bf16; it has fp16",
        ),
        ("train --params 7e9 --model gpt2 --tokens 1e12", "give --model or --params"),
        ("train --params seven --tokens 1e12", "--params is 'seven'; give a positive number"),
        ("train --params 7e9 --tokens 1e400", "give a positive number up to 1e40"),
        ("memory --model gpt2 --batch 1e41", "--batch is '1e41'"),
        ("memory --model gpt2 --plot x.pdf", "a picture is a .png or .svg"),
        ("train --params 1e9 --tokens 1e9 --plot x.png", "pictures are of memory, of layouts"),
        ("train --params 7e9 --tokens 1e12 --count 1.5", "--count is '1.5'; give a whole number"),
        ("train --model gpt2 --tokens 1e9 --recompute some", "unknown recomputation 'some'"),
        ("memory", "plan memory needs --model"),
        ("memory --model gpt2 --optimizer adamm", "did you mean 'adam'"),
        ("memory --model gpt2 --precision fp31", "unknown precision 'fp31'"),
        ("memory --model gpt2 --batch 0", "--batch is '0'"),
        ("memory --model gpt2 --sharding zero4", "unknown sharding 'zero4'"),
        ("largest", "plan largest needs --device"),
        ("largest --device h100 --optimizer adafactor", "depend on shapes"),
        ("largest --device l4 --model llama3-70b --batch 900", "no model of the shape of llama3-70b fits"),
        ("inference --model llama3-70b --device h100", "give --count 2"),
        ("inference --model bert-base-uncased --device h100", "does not decode"),
        ("inference --model gpt2 --device h100 --cache fp3", "unknown number format 'fp3'"),
        ("inference --model gpt2 --device tpu-v7", "unknown device 'tpu-v7'"),
    ],
)
def test_bad_input_gets_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *line.split()]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count("\n") == 1
    assert said in printed.err


def test_lengths_beyond_the_context_are_told() -> None:
    asked = Holding(architecture("gpt2"), precision("mixed-bf16"), seq=4096)
    assert any("4,096 tokens are beyond the context of 1,024 positions" in note for note in held(asked).notes)


def test_shapes_with_dense_layers_first_scale_too() -> None:
    assert scaled(architecture("deepseek-v3"), 1).sizes["n_layer"] == 3


def test_what_does_not_fit_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "memory", "--model", "llama3-8b", "--device", "l4", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["holds"] is False


@pytest.mark.parametrize(
    "line",
    [
        "train --model gpt2 --tokens 1e9 --device a100 --count 8 --mfu 0.3",
        "memory --model gpt2 --device a100",
        "largest --device h100 --count 8 --precision fp32",
        "inference --model gpt2 --device h100 --prompt 512 --new 100",
    ],
)
def test_every_plan_speaks_json_and_latex(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *line.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"inputs", "results", "binding", "formula", "steps"} <= found.keys()
    assert all({"value", "unit"} <= each.keys() for each in found["results"].values())
    assert run(["plan", *line.split(), "--symbolic"]) == 0
    assert "\\begin{document}" in capsys.readouterr().out


def test_no_plan_imports_torch() -> None:
    code = (
        "import sys; from symflops.cli import run; "
        "assert run('plan memory --model gpt2 --device h100'.split()) == 0; "
        "assert run('plan train --model gpt2 --tokens 1e9 --device h100 --count 8 --mfu 0.3'.split()) == 0; "
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
