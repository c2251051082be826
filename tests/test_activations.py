"""What training keeps, against the closed forms of real code and the tensors that autograd saves, byte for byte."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from autograd_kept import autograd
from sympy import Add, Expr, Integer, expand

from derivations._korthikanti_layer import Rank, parts
from symflops.certified import certified
from symflops.expressions import expression
from symflops.laws.catalogue.subjects import network
from symflops.networks import Recomputed
from symflops.notation import d_ff, d_head, d_model, n_batch, n_head, n_kv_head, n_layer, n_seq, n_vocab
from symflops.training.activations import Kept, activation_bytes, by_operation, kept
from symflops.training.checkpoints import FULL, NONE, SCHEMES, SELECTIVE, best_every, memory, scheme

FLOAT32 = 4
SIZES = {n_batch: 2, n_seq: 8, d_model: 32, n_head: 4, n_layer: 3}


def code(family: str, attention: str) -> Expr:
    """Saved bytes of a family's unmodified code in float32, as recorded from its trace."""
    [entry] = (
        each for each in certified().entries if (each.family, each.attention, each.experts) == (family, attention, "")
    )
    return expression(entry.forms["saved_bytes"], 100_000)


def declared(family: str, attention: str = "eager", element_bytes: int = FLOAT32) -> Expr:
    widths = {d_model: n_head * d_head}
    return expand(activation_bytes(network(family, attention), element_bytes).subs(widths))  # type: ignore[arg-type]


@pytest.mark.parametrize(("family", "attention"), [("bloom", "eager"), ("roberta", "eager"), ("roberta", "sdpa")])
def test_declared_operations_keep_what_the_code_keeps(family: str, attention: str) -> None:
    own = declared(family, {"sdpa": "flash"}.get(attention, attention)).subs({d_ff: 4 * d_head * n_head})
    theirs = code(family, attention).subs({d_ff: 4 * d_head * n_head, d_model: n_head * d_head})
    assert expand(own - theirs) == 0


@pytest.mark.parametrize(
    ("family", "attention", "residual"),
    [
        # Kernels keep less than code that runs a norm, or an activation times a gate, step by step.
        ("llama", "sdpa", n_layer * (4 * d_ff + 8 * d_head * n_head) + 4 * d_head * n_head),
        # Python's gelu_new is seven steps; positions are one row of indices for all sequences.
        ("gpt2", "eager", 48 * d_head * n_head * n_layer - 8 + 8 / n_batch),
        # ReLU's own result is what the next matmul reads.
        ("opt", "eager", -4 * d_ff * n_layer),
        # Attention and feed-forward norms read one value.
        ("mpt", "eager", n_seq),
    ],
)
def test_what_code_keeps_beside_has_a_closed_form(family: str, attention: str, residual: Expr) -> None:
    own = declared(family, {"sdpa": "flash"}.get(attention, attention))
    theirs = code(family, attention).subs({d_model: n_head * d_head})
    plain = {d_ff: 4 * d_head * n_head} if family == "gpt2" else {}
    assert expand((theirs - own).subs(plain) - n_batch * n_seq * residual) == 0


def layer_of_korthikanti() -> Expr:
    return Add(*parts(Rank()))


@dataclass
class RealLayer:
    """A transformer layer of torch's own kernels in bfloat16, with dropouts."""

    batch: int = 2
    seq: int = 8
    width: int = 32
    heads: int = 4

    def __post_init__(self) -> None:
        import torch

        shapes = {
            "ln": (self.width,), "qkv": (3 * self.width, self.width), "out": (self.width, self.width),
            "up": (4 * self.width, self.width), "down": (self.width, 4 * self.width),
        }  # fmt: skip
        self.weights = {
            name: torch.randn(*shape, dtype=torch.bfloat16, requires_grad=True) for name, shape in shapes.items()
        }

    @property
    def owned(self) -> set[int]:
        return {each.untyped_storage().data_ptr() for each in self.weights.values()}

    def input(self):  # type: ignore[no-untyped-def]
        import torch

        return torch.randn(self.batch, self.seq, self.width, dtype=torch.bfloat16, requires_grad=True)

    def __call__(self, x):  # type: ignore[no-untyped-def]
        import torch
        from torch.nn import functional

        dropped = lambda value: torch.native_dropout(value, 0.1, True)[0]  # noqa: E731
        normed = lambda value: functional.layer_norm(value, (self.width,), self.weights["ln"])  # noqa: E731
        split = functional.linear(normed(x), self.weights["qkv"]).split(self.width, -1)
        q, k, v = (each.reshape(self.batch, self.seq, self.heads, -1).transpose(1, 2) for each in split)
        scores = q @ k.transpose(-1, -2) + torch.full((self.seq, self.seq), -1e4, dtype=x.dtype).triu(1)
        mixed = (dropped(scores.softmax(-1)) @ v).transpose(1, 2).reshape(x.shape)
        x = x + dropped(functional.linear(mixed, self.weights["out"]))
        hidden = functional.gelu(functional.linear(normed(x), self.weights["up"]))
        return x + dropped(functional.linear(hidden, self.weights["down"]))


def test_a_layer_of_kernels_keeps_34_bytes_and_5_for_each_pair() -> None:
    real = RealLayer()
    found = autograd(lambda: real(real.input()), real.owned)
    values = kept(layer_of_korthikanti())
    own = {kind: int(bytes_of(values, tensors).subs(SIZES)) for kind, tensors in KINDS.items()}
    assert {**found, "statistics": 0} == {**own, "statistics": 0}
    # A norm's statistics are bfloat16 on a processor, and float32 on a GPU, which is what is declared.
    assert 2 * found["statistics"] == own["statistics"]
    printed = n_batch * n_seq * d_model * (34 + 5 * n_head * n_seq / d_model)
    assert found["values"] + found["masks"] == printed.subs(SIZES)


KINDS: dict[str, Callable[[Kept], bool]] = {
    "values": lambda each: each.tensor != "mask" and not each.tensor.startswith("row_"),
    "masks": lambda each: each.tensor == "mask",
    "statistics": lambda each: each.tensor.startswith("row_"),
}


def bytes_of(values: tuple[Kept, ...], chosen: Callable[[Kept], bool]) -> Expr:
    return Add(*(each.bytes for each in values if chosen(each)))


def test_a_value_forgotten_shows() -> None:
    real = RealLayer()
    found = autograd(lambda: real(real.input()), real.owned)
    fewer = tuple(each for each in kept(layer_of_korthikanti()) if each.path != "Attention: QKV/qkv")
    assert int(bytes_of(fewer, KINDS["values"]).subs(SIZES)) != found["values"]


def test_checkpoints_keep_the_inputs_and_one_layer_at_a_time() -> None:
    from torch.utils.checkpoint import checkpoint

    real, layers = RealLayer(), 3

    def forward():  # type: ignore[no-untyped-def]
        x = real.input()
        for _ in range(layers):
            x = checkpoint(real, x, use_reentrant=True)
        return x

    stack = n_layer * layer_of_korthikanti()
    found, parts_ = autograd(forward, real.owned), memory(stack, FULL)
    assert found["values"] == parts_["checkpoints"].subs({**SIZES, n_layer: layers})
    whole = (parts_["segment"] + parts_["checkpoints"] / n_layer).subs(SIZES)
    assert whole == activation_bytes(layer_of_korthikanti()).subs(SIZES)


def test_selective_recomputation_leaves_34() -> None:
    """Korthikanti et al. 2022, table 2: selective recomputation leaves sbh*34 of a layer."""
    own = memory(n_layer * layer_of_korthikanti(), SELECTIVE)["layers"]
    rows = 4 * 4 * n_batch * n_seq
    assert expand(own - n_layer * (34 * n_batch * n_seq * d_model + rows)) == 0


def test_flash_attention_keeps_no_pairs_and_one_statistic_for_each_row() -> None:
    flash = {each.path: each for each in kept(network("llama", "flash")) if each.path.startswith("Attention: Mask")}
    assert sorted(flash) == ["Attention: Mask/mix", "Attention: Mask/scores", "Attention: Mask/softmax"]
    assert all(each.elements.as_poly(n_seq).degree() == 1 for each in flash.values())
    assert flash["Attention: Mask/softmax"].bytes == 4 * n_batch * n_head * n_layer * n_seq


def test_heads_of_keys_and_values_are_kept_once() -> None:
    eager = dict(by_operation(kept(network("llama"))))
    assert eager["Attention: QKV/k"] == 2 * d_model * n_batch * n_layer * n_seq
    assert eager["Attention: Mask/mix"].coeff(n_kv_head) == 2 * d_head * n_batch * n_layer * n_seq
    assert "Attention: QKV/q" not in eager and "Attention: QKV/v" not in eager


@pytest.mark.parametrize("family", ["bloom", "mistral", "deepseek_v2", "t5", "whisper", "bamba", "mamba", "clip"])
@pytest.mark.parametrize("how", SCHEMES.values(), ids=list(SCHEMES))
def test_every_scheme_keeps_no_more_than_all(family: str, how: object) -> None:
    whole = network(family)
    parts_ = memory(whole, how, 2)  # type: ignore[arg-type]
    sizes = {symbol: Integer(2 * place + 4) for place, symbol in enumerate(sorted(whole.free_symbols, key=str))}
    sizes |= {each: Integer(40) for each in sizes if str(each) in ("n_layer", "n_layer_decoder", "n_layer_vision")}
    sizes |= {each: Integer(7) for each in sizes if str(each).startswith("n_layer_") and sizes[each] != 40}
    everything = Add(*memory(whole, NONE).values()).subs(sizes)
    assert 0 < Add(*parts_.values()).subs(sizes) <= everything


def test_the_best_number_of_layers_for_a_checkpoint_is_where_memory_turns() -> None:
    stack = n_layer * layer_of_korthikanti()
    sizes = {**SIZES, n_layer: 96}
    totals = {k: Add(*memory(stack, scheme(str(k))).values()).subs(sizes) for k in range(1, 97)}
    best, form = min(totals, key=totals.__getitem__), best_every(stack).subs(sizes)
    assert abs(best - form) <= 1


def test_recomputed_layers_run_once_more() -> None:
    from symflops.measures import flops

    layer = n_layer * layer_of_korthikanti()
    assert FULL.recomputed(layer) == n_layer * Recomputed(layer_of_korthikanti())
    again = flops(FULL.recomputed(layer), "torch", "training").expr - flops(layer, "torch", "training").expr
    assert expand(again - flops(layer, "torch").expr) == 0


def test_the_loss_keeps_a_row_of_the_vocabulary_for_each_token() -> None:
    import torch

    from symflops.training.loss import cross_entropy
    from symflops.training.loss import kept as kept_by_loss

    logits, targets = torch.randn(2, 8, 50, requires_grad=True), torch.randint(50, (2, 8))
    run = lambda: torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())  # noqa: E731
    found = autograd(run, set())["values"]
    sizes = {n_batch: 2, n_seq: 8, n_vocab: 50}
    own = Add(*(each.bytes for each in kept_by_loss(cross_entropy(network("gpt2"))))).subs(sizes)
    assert found == own + 4  # torch keeps the sum of the weights of classes, one number
