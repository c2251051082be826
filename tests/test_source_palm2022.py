"""PaLM: its network against a module of torch, its mistakes worked out once more in plain numbers, planted faults."""

from __future__ import annotations

import pytest

from derivations.palm2022 import NETWORK, SIZES, TOKENS, derive, remat_540b, training
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.claims.verifying import tables
from symflops.conventions import CONVENTIONS
from symflops.measures import flops, params
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_layer, n_seq, n_vocab

PRINTED = {"8B": (32, 16, 4096, 8.63), "62B": (64, 32, 8192, 62.50), "540B": (118, 48, 18432, 540.35)}


def test_the_network_is_a_module_with_one_head_of_keys_beside_its_feedforward() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    layers, heads, width, hidden, wide, vocab, tokens = 2, 3, 4, 20, 12, 17, 5

    def table(rows: int, columns: int) -> torch.Tensor:
        return torch.zeros(rows, columns, requires_grad=True)

    embedding, final = table(vocab, wide), torch.ones(wide)
    blocks = [
        (table(wide, heads * width), table(wide, width), table(wide, width), table(heads * width, wide),
         table(wide, hidden), table(wide, hidden), table(hidden, wide), torch.ones(wide))
        for _ in range(layers)
    ]  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        stream = embedding[torch.arange(tokens)]
        for query, key, value, project, gate, up, down, gain in blocks:
            normed = torch.nn.functional.layer_norm(stream, (wide,), gain)
            q = (normed @ query).view(tokens, heads, width).transpose(0, 1).reshape(heads * tokens, width)
            weights = (q @ (normed @ key).T).softmax(-1)
            mixed = (weights @ (normed @ value)).view(heads, tokens, width).transpose(0, 1).reshape(tokens, -1)
            fed = (torch.nn.functional.silu(normed @ gate) * (normed @ up)) @ down
            stream = stream + mixed @ project + fed
        (torch.nn.functional.layer_norm(stream, (wide,), final) @ embedding.T).sum()
    sizes = {n_layer: layers, n_head: heads, d_head: width, d_ff: hidden, d_model: wide, n_vocab: vocab, n_seq: tokens}
    assert flops(NETWORK, "torch").expr.subs({**sizes, n_batch: 1}) == counter.get_total_flops()
    owned = [embedding, final, *(each for block in blocks for each in block)]
    assert params(NETWORK).subs(sizes) == sum(each.numel() for each in owned)


@pytest.mark.parametrize("size", PRINTED)
def test_parameters_of_table_1_in_plain_numbers(size: str) -> None:
    layers, heads, width, printed = PRINTED[size]
    matrices = layers * (2 * width * heads * 256 + 2 * width * 256 + 12 * width**2) + 256_000 * width
    gains = (layers + 1) * width
    assert params(NETWORK).subs(SIZES[size]) == matrices + gains
    assert round(matrices / 1e9, 2) == printed
    assert (round((matrices + gains) / 1e9, 2) == printed) == (size != "540B")


def test_flops_for_a_token_and_those_computed_again() -> None:
    work, again = (form.subs(SIZES["540B"]) for form in (training("palm"), remat_540b()))
    count = 118 * (2 * 18432 * 48 * 256 + 2 * 18432 * 256 + 12 * 18432**2) + 256_000 * 18432 + 119 * 18432
    attention = 118 * 48 * 256 * 2048
    assert (work, again) == (6 * count + 12 * attention, count * 3 // 2 + 4 * attention)
    assert f"{work / 10**12:.2f}" == "3.28" and f"{(work + again) / 10**12:.2f}" == "4.10"
    assert f"{238_300 * (work + again) / (6144 * 275 * 10**12):.3f}" == "0.578"


def test_gpt3s_utilisation_is_not_what_its_inputs_give() -> None:
    attention, linear = 12 * 96 * 12288 * 2048, 6 * 175 * 10**9
    shares = [24.6 * (1 + times * attention / linear) / 125 for times in (0, 1, 3)]
    assert [f"{share:.1%}" for share in shares] == ["19.7%", "20.2%", "21.3%"]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_convention_derives(name: str) -> None:
    found = derive(name)
    assert (found.C_forward - flops(NETWORK, name).expr / TOKENS).expand() == 0


def test_the_tables_hold() -> None:
    report = verify("palm2022")
    assert report.holds and sum(report.counts().values()) - report.counts()["unchecked"] >= 42
    declared = {f"{verdict.table} {verdict.cell}" for verdict in report.verdicts if verdict.declared}
    assert declared == {"palm_mfu Table 3 GPT-3 175B/mfu"}


@pytest.mark.parametrize(("name", "share"), [("palm_table1", 0.97), ("palm_mfu", 0.88)])
def test_planted_faults_are_caught(name: str, share: float) -> None:
    faults = plant(tables(name)[0])
    assert sum(fault.caught for fault in faults) >= share * len(faults)
