"""Vision transformers against real modules, and the table's findings by plain arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sympy import Expr

from derivations.vit2020 import HEADLESS, NETWORK, NETWORKS, SWIN, at_base, macs, normalised
from symflops.claims import verify
from symflops.claims.faults import plant
from symflops.measures import params
from symflops.notation import d_ff, d_model, d_patch, n_batch, n_channel, n_head, n_layer, n_side

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

VIT = {n_layer: 2, d_model: 24, d_ff: 60, n_head: 3, d_patch: 4, n_side: 5, n_channel: 3, n_batch: 1}
TINY = {n_layer: 6, d_model: 96, n_channel: 3, n_batch: 1}


def number(form: Expr, sizes: dict[Expr, int]) -> int:
    return int(form.subs(sizes))


def counted(module: object, size: int) -> tuple[int, int]:
    """Parameters of a module, and the FLOPs of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(pixel_values=torch.zeros(1, 3, size, size, device="meta"))  # type: ignore[operator]
    return sum(each.numel() for each in module.parameters()), counter.get_total_flops()  # type: ignore[attr-defined]


def test_timms_network_is_the_classifier_of_transformers() -> None:
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=60, image_size=20, patch_size=4,
        num_labels=1000, attn_implementation="eager",
    )  # fmt: skip
    with torch.device("meta"):
        module = transformers.ViTForImageClassification(config)
    assert counted(module, 20) == (number(params(NETWORK), VIT), 2 * number(macs(NETWORK), VIT))
    assert number(params(HEADLESS), VIT) == number(params(NETWORK), VIT) - 25 * 1000


def test_swin_is_that_of_transformers() -> None:
    config = transformers.SwinConfig(
        image_size=224, embed_dim=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], num_labels=1000,
        attn_implementation="eager",
    )  # fmt: skip
    with torch.device("meta"):
        module = transformers.SwinForImageClassification(config)
    assert counted(module, 224) == (number(params(SWIN), TINY), 2 * number(macs(SWIN), TINY))


def test_layer_norms_make_the_difference_between_timm_and_torchvision() -> None:
    norms = 5 * (2 * 12 + 1) * 197 * 768
    assert 5 * at_base(normalised()) == norms
    assert round(at_base(macs(NETWORK)) / 1e9, 2) == 17.56 and round((at_base(macs(NETWORK)) + norms) / 1e9, 2) == 17.58


def test_vit_large_has_307_million_only_with_larger_patches() -> None:
    layers = 24 * (12 * 1024**2 + 13 * 1024) + 2 * 1024
    with_16, with_32 = (layers + 3 * p * p * 1024 + 1024 + 1024 + ((224 // p) ** 2 + 1) * 1024 for p in (16, 32))
    dense, classifier = 1024**2 + 1024, 1024 * 1000 + 1000
    counts = (with_16, with_16 + dense, with_16 + classifier)
    assert [round(count / 1e6) for count in counts] == [303, 304, 304]
    assert round((with_32 + classifier) / 1e6) == 307


def test_the_table_holds_and_its_digits_are_held() -> None:
    report = verify("vit_timm")
    assert report.holds and report.counts()["reproduces"] >= 75 and report.counts()["unchecked"] == 0
    table = report.tables[0]
    faults = plant(replace(table, rows=(*table.rows[1:17:5], *table.rows[-4:])))  # digits of some rows: all take long
    assert sum(fault.caught for fault in faults) / len(faults) > 0.94


def test_networks_are_told_apart() -> None:
    assert len({params(network) for network in (NETWORK, *NETWORKS.values())}) == 4
