"""Closed forms from unmodified code: equal to those written by hand, certified, and never wrong in silence."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from sympy import expand

from symflops.architectures import architecture
from symflops.measures import flops, params, params_without
from symflops.notation import d_ff, d_head, d_model, n_head, n_kv_head, n_layer
from symflops.tracing import certificate
from symflops.tracing.certificate import NotCertified, random_sizes
from symflops.tracing.targets import resolve
from symflops.tracing.trace import NotSymbolic, trace

# In these configs the heads share the width of the model; GPT-2's feed-forward is four times as wide by default.
SHARED = {d_model: n_head * d_head}
BY_HAND: dict[str, tuple[str, dict[Any, Any]]] = {
    "hf:LlamaForCausalLM": ("llama3-8b", {}),
    "hf:gpt2": ("gpt2", {**SHARED, d_ff: 4 * n_head * d_head}),
    "hf:GPTNeoXConfig": ("pythia-1b", SHARED),
}


@pytest.mark.parametrize("target", BY_HAND)
def test_the_codes_closed_forms_are_proved_equal_to_those_written_by_hand(target: str) -> None:
    name, sizes = BY_HAND[target]
    network = architecture(name).network
    found = trace(target, certify=3)
    ours = {
        "params": params(network),
        "N": params_without(network),
        "C_forward": flops(network, "torch").expr,
        "C_backward": flops(network, "torch", "backward").expr,
    }
    for each, form in ours.items():
        assert expand(getattr(found, each) - form.subs(sizes)) == 0, each
    assert expand(flops(found.network, "torch").expr - found.C_forward) == 0
    assert (found.certificate.points, found.certificate.equal) == (3, True)


def test_the_domain_is_readable_and_random_sizes_lie_in_it() -> None:
    found = trace("hf:qwen3", certify=1)
    assert "Eq(Mod(n_head, n_kv_head), 0)" in map(str, found.domain)
    points = list(islice(random_sizes(resolve("hf:qwen3"), found.domain), 5))
    assert all(each["n_head"] % each["n_kv_head"] == 0 for each in points)
    assert found.params.has(n_kv_head)


NANO = """
import torch
from torch import nn

class Layer(nn.Module):
    def __init__(self, width, n_head, hidden):
        super().__init__()
        self.n_head, self.qkv, self.out = n_head, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.norm = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.LayerNorm(width)

    def forward(self, x):
        b, t, c = x.shape
        parts = self.qkv(self.norm(x)).split(c, 2)
        q, k, v = (each.view(b, t, self.n_head, c // self.n_head).transpose(1, 2) for each in parts)
        mixed = torch.softmax(q @ k.transpose(-2, -1), -1) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(b, t, c))
        return x + self.down(torch.relu(self.up(x)))

class Model(nn.Module):
    def __init__(self, n_layer, n_head, n_embd, d_ff, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, n_embd)
        self.h = nn.ModuleList(Layer(n_embd, n_head, HIDDEN) for _ in range(n_layer))
        self.head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, idx):
        x = self.table(idx)
        for layer in self.h:
            x = layer(x)
        return self.head(x)

def make(n_layer, n_head, n_embd, d_ff, vocab_size):
    return Model(n_layer, n_head, n_embd, d_ff, vocab_size)
"""


def written(folder: Path, hidden: str) -> str:
    path = folder / "model.py"
    path.write_text(NANO.replace("HIDDEN", hidden), encoding="utf-8")
    return f"{path}:make"


def test_a_users_own_file_is_traced(tmp_path: Path) -> None:
    found = trace(written(tmp_path, "d_ff"), certify=3)
    width = n_head * d_head
    layer = 4 * width**2 + 4 * width + 2 * width * d_ff + d_ff + width + 2 * width
    assert expand(found.params.coeff(n_layer) - layer) == 0


def test_a_size_that_becomes_a_number_is_recovered(tmp_path: Path) -> None:
    """The hidden width is counted in Python, so that it is a number in every run."""
    found = trace(written(tmp_path, "len(range(d_ff))"), certify=3)
    plain = trace(written(tmp_path, "d_ff"), certify=0)
    assert {each.size for each in found.recovered} == {"d_ff", "n_layer"} > {each.size for each in plain.recovered}
    assert all(
        expand(getattr(found, name) - getattr(plain, name)) == 0 for name in ("params", "C_forward", "saved_bytes")
    )
    assert any("d_ff became" in str(each) and "model.py:" in str(each) for each in found.recovered)


@pytest.mark.parametrize(
    "hidden", ["7 + len(range(d_ff)) % 3", pytest.param("len(range(d_ff)).bit_length()", marks=pytest.mark.slow)]
)
def test_a_dependence_that_is_no_polynomial_is_refused(tmp_path: Path, hidden: str) -> None:
    with pytest.raises(
        NotSymbolic,
        match=r"no formula was found.*no polynomial through",
    ):
        trace(written(tmp_path, hidden), certify=1)


def test_code_that_does_not_run_on_symbols_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotSymbolic, match=r"does not run: TypeError.* at .*model.py:\d+") as refused:
        trace(written(tmp_path, "d_ff + 'wide'"), certify=1)
    assert "\n" not in str(refused.value)


def test_a_wrong_closed_form_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: the concrete module does one FLOP more than the formula says."""
    real = certificate.concrete_values
    monkeypatch.setattr(
        certificate, "concrete_values", lambda *given: {**real(*given), "C_forward": real(*given)["C_forward"] + 1}
    )
    with pytest.raises(NotCertified, match=r"contradicts its closed form at .*n_layer=\d+.*C_forward"):
        trace("hf:llama", certify=1)


def test_a_trace_is_a_value() -> None:
    found = trace("hf:llama", certify=1)
    assert replace(found) == found and [path for path, _, _ in found.operations()][-1] == "lm_head"
