"""Models side by side: sizes, parameters, work, cache, and where attention overtakes.

>>> found = compare(["gpt2", "pythia-160m"], n_seq=1024)
>>> [each.params for each in found.models], found.best("params")
([124439808, 162322944], (True, False))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sympy import Expr, Rational

from symflops.architectures import Architecture, architecture
from symflops.architectures.fields import positive_integer
from symflops.conventions import TORCH, Convention, convention
from symflops.errors import ConfigError, SizeError
from symflops.measures import Phase
from symflops.notation import TERMS
from symflops.questions.answers import Answer, Reply, exact, shown
from symflops.questions.attention import Overtaking, attention_overtakes, attention_share
from symflops.questions.memory import BYTES, cache_equals_weights
from symflops.questions.parameters import against_6n, embedding_share
from symflops.questions.subjects import Given
from symflops.render.document import Cell, Document, Prose, Table


@dataclass(frozen=True)
class Compared:
    """One model's figures, all exact: counts of parameters, work of a batch, bytes of its cache, attention's share."""

    model: Architecture
    params: int
    N: int
    active: int
    C_forward: Expr
    C_backward: Expr
    tokens: int
    cache_bytes: int
    attention_share: Expr | None
    overtaking: Overtaking
    answers: Mapping[str, Answer]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def sizes(self) -> Mapping[str, int]:
        """Its sizes."""
        return self.model.sizes

    @property
    def C_forward_per_token(self) -> Expr:
        """Forward work for one token."""
        return self.C_forward / self.tokens

    @property
    def C_training_per_token(self) -> Expr:
        """Work for one token, forward and backward."""
        return (self.C_forward + self.C_backward) / self.tokens

    @property
    def cache_bytes_per_token(self) -> Rational:
        """Bytes of the cache for one token; a fraction where a window keeps it from growing with every token."""
        return Rational(self.cache_bytes, self.tokens)

    @property
    def overtakes_at(self) -> int | None:
        """The first n_seq at which the core of attention costs more than the feed-forward; None for never."""
        return self.overtaking.feedforward.first

    def as_json(self) -> dict[str, Any]:
        """Plain values; integers exact, fractions as text."""
        numbers = ("C_forward", "C_forward_per_token", "C_backward", "cache_bytes_per_token")
        share = self.attention_share
        return {
            "name": self.name,
            "sizes": dict(self.sizes),
            **{name: getattr(self, name) for name in ("params", "N", "active")},
            **{name: exact(getattr(self, name)) for name in numbers},
            "cache_bytes": self.cache_bytes,
            "attention_share": None if share is None else exact(share),
            "overtakes_at": self.overtakes_at,
        }


_ROWS: Mapping[str, tuple[str, Callable[[Compared], Any]]] = MappingProxyType(
    {
        "params": ("parameters", lambda each: each.params),
        "N": ("N (embeddings left out)", lambda each: each.N),
        "active": ("active parameters", lambda each: each.active),
        "C_forward_per_token": ("C_forward for one token", lambda each: each.C_forward_per_token),
        "C_training_per_token": ("C for one token, with the backward pass", lambda each: each.C_training_per_token),
        "C_forward": ("C_forward of the batch", lambda each: each.C_forward),
        "C_backward": ("C_backward of the batch", lambda each: each.C_backward),
        "attention_share": ("attention's share of the layers", lambda each: each.attention_share),
        "cache_bytes_per_token": ("bytes of cache for one token", lambda each: each.cache_bytes_per_token),
        "cache_bytes": ("bytes of cache of the batch", lambda each: each.cache_bytes),
        "overtakes_at": ("attention over feed-forward from n_seq", lambda each: each.overtakes_at),
    }
)
"""What is compared, by name: what it is called, and the figure."""
MARK = " *"
_SHOWN = (
    "attention_overtakes.feedforward", "attention_overtakes.others", "cache_equals_weights.tokens",
    "against_6n.forward", "embedding_share",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Comparison:
    """Models under one convention, at one batch and length."""

    models: tuple[Compared, ...]
    convention: Convention
    n_batch: int
    n_seq: int

    def best(self, row: str) -> tuple[bool, ...]:
        """Which models are best in a row: those with least of it; of overtaking lengths, the longest, or never.

        None is where all are equal. Raises `KeyError` for a row that is none.
        """
        figures = [_ROWS[row][1](each) for each in self.models]
        if row == "overtakes_at":
            figures = [float("-inf") if figure is None else -figure for figure in figures]
        known = [figure for figure in figures if figure is not None]
        different = len(set(known)) > 1
        return tuple(different and figure is not None and figure == min(known) for figure in figures)

    def document(self) -> Document:
        """The comparison as a page: sizes, figures, and the closed forms behind them."""
        head = tuple(each.name for each in self.models)
        named = [name for name in TERMS if any(name in each.sizes for each in self.models)]
        sizes = tuple((name, *(_size(each, name) for each in self.models)) for name in named)
        figures = tuple(self._row(row) for row in _ROWS)
        return Document(
            f"{', '.join(head[:-1])} and {head[-1]}",
            (
                Prose(f"Convention {self.convention.name}, in {self.convention.unit}s; {self._batch}."),
                Table("Sizes", ("size", *head), sizes),
                Table("Figures", ("quantity", *head), figures),
                Prose(
                    f"{MARK.strip()} marks the least of a row, of overtaking lengths the longest. The cache holds "
                    f"{BYTES} bytes for each element. Attention is its core, scores and mix."
                ),
                Table("Closed forms", ("quantity", "model", "closed form", "value"), tuple(self._forms())),
                *map(Prose, self.remarks),
            ),
            self.as_json(),
        )

    @property
    def _batch(self) -> str:
        return f"{self.n_batch:,} {'sequence' if self.n_batch == 1 else 'sequences'} of {self.n_seq:,} tokens"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Which models are compared beyond their context, and what there is to say of each."""
        beyond = (each for each in self.models if self.n_seq > each.sizes.get("n_ctx", self.n_seq))
        return (
            *(f"n_seq = {self.n_seq} is beyond the context of {each.name}, {each.sizes['n_ctx']}." for each in beyond),
            *(f"{each.name}: {note}" for each in self.models for note in each.model.notes),
        )

    def _row(self, row: str) -> tuple[str, ...]:
        name, figure = _ROWS[row]
        cells = (_figure(figure(each)) for each in self.models)
        return name, *(cell + MARK * best for cell, best in zip(cells, self.best(row), strict=True))

    def _forms(self) -> Iterator[tuple[Cell, ...]]:
        for question in _SHOWN:
            for each in self.models:
                for quantity, form, where, value in each.answers[question].rows():
                    limited = f"{value}, where {where}" if where not in ("", "all sizes") else value
                    yield quantity if each is self.models[0] else "", each.name, form, limited

    def as_json(self) -> dict[str, Any]:
        """Plain values: the models' figures, and the answers to each question with their closed forms."""
        return {
            "models": [each.as_json() for each in self.models],
            "convention": self.convention.name,
            "unit": self.convention.unit,
            "batch": self.n_batch,
            "seq": self.n_seq,
            "questions": [
                {"model": each.name, "question": name, **answer.as_json()}
                for each in self.models
                for name, answer in each.answers.items()
            ],
            "notes": list(self.remarks),
        }

    def text(self) -> str:
        """Plain text."""
        from symflops.render import render_document

        return render_document(self.document(), "text").rstrip()

    __str__ = __repr__ = text


def compare(
    given: Sequence[Given], n_batch: int = 1, n_seq: int | None = None, under: str | Convention = TORCH
) -> Comparison:
    """Two models or more side by side, by default at the shortest of their contexts.

    Raises `ConfigError` for fewer than two, and what `architecture` raises for each.
    """
    if len(given) < 2:
        raise ConfigError("compare takes two models or more; for the figures of one there is evaluate")
    models = [each if isinstance(each, Architecture) else architecture(each) for each in given]
    chosen = convention(under)
    contexts = [each.sizes["n_ctx"] for each in models if "n_ctx" in each.sizes]
    if n_seq is None and not contexts:
        raise ConfigError("none of the models names a context; give n_seq")
    batch, length = positive_integer("n_batch", n_batch), positive_integer("n_seq", n_seq or min(contexts))
    return Comparison(tuple(_compared(each, batch, length, chosen) for each in models), chosen, batch, length)


def _compared(model: Architecture, n_batch: int, n_seq: int, chosen: Convention) -> Compared:
    def work(phase: Phase) -> Expr:
        found = model.flops(n_batch, n_seq, chosen, phase)
        if found.free_symbols:
            raise SizeError(f"{model.name} needs more sizes: {', '.join(sorted(map(str, found.free_symbols)))}")
        return found.expr

    overtaking, share = attention_overtakes(model, chosen), attention_share(model, n_seq, chosen)
    replies: Mapping[str, Reply] = {
        "attention_overtakes": overtaking,
        "cache_equals_weights": cache_equals_weights(model, n_seq),
        "against_6n": against_6n(model, n_seq, chosen),
    }
    answers = {f"{name}.{part}": answer for name, reply in replies.items() for part, answer in reply.answers.items()}
    alone = {"attention_share": share.share, "embedding_share": embedding_share(model)}
    return Compared(
        model,
        model.params(),
        model.params("non_embedding"),
        model.params("active"),
        work("forward"),
        work("backward"),
        n_batch * n_seq,
        model.cache_bytes(n_batch, n_seq, BYTES),
        share.share.value,
        overtaking,
        MappingProxyType({**answers, **alone}),
    )


def _size(each: Compared, name: str) -> str:
    return f"{each.sizes[name]:,}" if name in each.sizes else "-"


def _figure(figure: Any) -> str:
    if figure is None:
        return "never"
    return f"{figure:,}" if isinstance(figure, int) else shown(figure)
