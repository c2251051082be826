"""Korthikanti et al. 2022 against what torch keeps of a layer, what it counts of checkpoints, and arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from derivations._korthikanti_layer import Rank, full, kept, selective, small, total
from derivations.korthikanti2022 import EQUATION_7, EQUATION_8, NETWORKS, beside_layers, bytes_of, extra_flops, n_tensor
from symflops.claims import shipped, verify
from symflops.claims.faults import plant
from symflops.measures import flops, params
from symflops.notation import d_model, n_batch, n_head, n_layer, n_seq, n_vocab

B, S, H, A = 2, 6, 16, 4
SIZES = {n_batch: B, n_seq: S, d_model: H, n_head: A}


def core(q: Tensor, k: Tensor, v: Tensor, drop: float = 0.1) -> Tensor:
    weights = functional.softmax(q @ k.transpose(-1, -2) / sqrt(H // A), -1)
    return torch.native_dropout(weights, drop, True)[0] @ v if drop else weights @ v


class Layer(nn.Module):
    """A pre-norm layer as the paper's figure draws it, with dropouts that keep a mask of bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(H) for _ in range(2))
        self.qkv, self.out, self.up, self.down = (
            nn.Linear(*size) for size in ((H, 3 * H), (H, H), (H, 4 * H), (4 * H, H))
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each.unflatten(-1, (A, -1)).transpose(1, 2) for each in self.qkv(self.norms[0](x)).chunk(3, -1))
        mixed = core(q.contiguous(), k.contiguous(), v.contiguous()).transpose(1, 2).flatten(2)
        x = x + torch.native_dropout(self.out(mixed), 0.1, True)[0]
        hidden = functional.gelu(self.up(self.norms[1](x)))
        return x + torch.native_dropout(self.down(hidden), 0.1, True)[0]


def bytes_torch_keeps(layer: nn.Module, x: Tensor) -> int:
    """Bytes of all distinct storages that autograd saves, parameters apart."""
    found: dict[int, Tensor] = {}
    own = {parameter.data_ptr() for parameter in layer.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            found[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(tensor.numel() * tensor.element_size() for tensor in found.values())


def test_torch_keeps_what_the_declared_layer_keeps() -> None:
    torch.manual_seed(0)
    layer = Layer().bfloat16()
    kept_by_torch = bytes_torch_keeps(layer, torch.randn(B, S, H, dtype=torch.bfloat16, requires_grad=True))
    statistics = kept_by_torch - int(bytes_of(Rank(), kept).subs(SIZES))
    # mean and inverse deviation of each token and norm, in two or four bytes as the kernel chooses
    assert statistics in (2 * 2 * B * S * 2, 2 * 2 * B * S * 4)


def test_the_brute_count_sees_a_tensor_more() -> None:
    class Longer(Layer):
        def forward(self, x: Tensor) -> Tensor:
            return torch.exp(super().forward(x))

    torch.manual_seed(0)
    x = torch.randn(B, S, H, dtype=torch.bfloat16, requires_grad=True)
    assert bytes_torch_keeps(Longer().bfloat16(), x) == bytes_torch_keeps(Layer().bfloat16(), x) + 2 * B * S * H


def test_parameters_and_flops_are_those_of_a_real_layer() -> None:
    layer, x = Layer(), torch.randn(B, S, H, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    assert params(NETWORKS["layer"]).subs(SIZES) == sum(each.numel() for each in layer.parameters())
    assert flops(NETWORKS["layer"], "megatron", "training").expr.subs(SIZES) == counter.get_total_flops()


def counted(run: Any) -> int:
    operands = [torch.randn(B, A, S, H // A, requires_grad=True) for _ in range(3)]
    with FlopCounterMode(display=False) as counter:
        run(*operands).sum().backward()
    return int(counter.get_total_flops())


def test_a_recomputed_core_costs_a_third_of_what_equation_8_adds() -> None:
    again = counted(lambda *qkv: checkpoint(core, *qkv, use_reentrant=True)) - counted(core)
    one_layer = {**SIZES, n_layer: 1, n_vocab: 7}
    assert again == 4 * B * S * S * H == extra_flops().subs(one_layer)
    assert (EQUATION_8 - EQUATION_7).subs(one_layer) == 3 * again


def test_the_variants_at_plain_numbers() -> None:
    at, t, unit, pairs = {**SIZES, n_tensor: 4}, 4, B * S * H, 5 * B * A * S * S
    expected = (
        (Rank(), kept, 34 * unit + pairs),
        (Rank(split=n_tensor), kept, 10 * unit + 24 * unit // t + pairs // t),
        (Rank(n_tensor, n_seq / n_tensor), kept, (34 * unit + pairs) // t),
        (Rank(split=n_tensor), lambda rank: selective(kept(rank)), 10 * unit + 24 * unit // t),
        (Rank(n_tensor, n_seq / n_tensor), lambda rank: selective(kept(rank)), 34 * unit // t),
        (Rank(), lambda rank: full(kept(rank)), 2 * unit),
    )
    assert [bytes_of(rank, of).subs(at) for rank, of, _ in expected] == [number for *_, number in expected]
    assert total(small(kept())).subs(SIZES) == 2 * 2 * 2 * B * S


def test_the_terms_beside_the_layers_are_no_hundredth_of_a_percent() -> None:
    s, b, h, a, layers, t, vocab = 2048, 4, 6144, 64, 48, 8, 51200
    beside = (s * b * h + 4 * s * b * h + 4 * s * b * vocab) // t
    inside = layers * (34 * s * b * h + 5 * a * s * s * b) // t
    sizes = {n_seq: s, n_batch: b, d_model: h, n_vocab: vocab, n_tensor: t}
    assert beside_layers().subs(sizes) == beside and f"{beside / inside:.4f}" == "0.0057"
    assert f"{beside / (layers * 34 * s * b * h // t):.3f}" == "0.023"


def test_hardware_utilisations_follow_from_the_printed_equation_alone() -> None:
    errata = shipped()["korthikanti2022_tables"].errata
    for row in shipped()["korthikanti2022_tables"].rows:
        h, layers, batch, gpus = (int(row.cells[name]) for name in ("h", "L", "B", "gpus"))
        matmuls, pairs = 72 * batch * layers * 2048 * h * h, 4 * batch * layers * 2048**2 * h
        logits, done = 6 * batch * 2048 * h * 51200, Fraction(row.cells["present"]) * gpus * 312 * 10**12
        printed = Fraction(row.cells["hfu"].rstrip("%")) / 100
        mended, as_printed = ((matmuls + count * pairs + logits) / done for count in (4, 6))
        assert abs(as_printed - printed) < Fraction(15, 10000) < 3 * abs(mended - printed)
        assert mended < printed
        declared = next(each for each in errata if each.cell.startswith(row.label) and each.cell.endswith("hfu"))
        assert abs(mended - Fraction(declared.should_read.rstrip("%")) / 100) < Fraction(51, 100_000)


def test_overheads_follow_from_the_printed_equation_alone() -> None:
    for h, layers, printed, mended in ((12288, 96, "2.7", "0.9"), (20480, 105, "1.6", "0.5")):
        matmuls, pairs, logits = 72 * layers * 2048 * h * h, 4 * layers * 2048**2 * h, 6 * 2048 * h * 51200
        whole = matmuls + 3 * pairs + logits
        assert (f"{100 * 3 * pairs / whole:.1f}", f"{100 * pairs / whole:.1f}") == (printed, mended)


def test_the_tables_hold_and_their_claims_hold_the_digits() -> None:
    report = verify("korthikanti2022")
    assert report.holds and sum(verdict.verdict != "unchecked" for verdict in report.verdicts) >= 83
    for name, share in (("tables", 0.89), ("table4", 0.68), ("claims", 0.91)):
        faults = plant(shipped()[f"korthikanti2022_{name}"])
        assert sum(fault.caught for fault in faults) >= share * len(faults)
