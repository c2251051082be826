"""Closed forms from unmodified code: run it on symbolic sizes, make its layers a symbol, and certify what was found.

Where code turns a symbol into a number, the trace is refused with the line that does it: never a wrong formula.

>>> found = trace("hf:llama", certify=2)
>>> found.dimensions["d_head"], found.certificate.equal
('head_dim', True)
>>> from symflops.notation import n_seq
>>> found.C_forward.coeff(n_seq, 2)
4*d_head*n_batch*n_head*n_layer
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os import sep
from typing import Any

import torch
from sympy import Expr, GreaterThan, LessThan, Mod, expand
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean
from torch import Tensor, nn

from symflops.errors import SymflopsError
from symflops.measures import params_without
from symflops.notation import symbol
from symflops.tracing.fields import Meanings
from symflops.tracing.inputs import inputs, loss
from symflops.tracing.lift import lift_merged
from symflops.tracing.merging import Merged, macs, merged_family
from symflops.tracing.recorder import record
from symflops.tracing.shown import Shown
from symflops.tracing.symbolic import Traced, symbolic_run
from symflops.tracing.targets import UNCHANGED, Target, resolve

Stage = Callable[[str, int, int], None]
_FEWEST_LAYERS = 2
_LARGEST = 24
_TRIES = 500


class NotSymbolic(SymflopsError):
    """Code that turns a symbolic size into a number, so that what follows holds for that number alone."""


class NotCertified(SymflopsError):
    """A closed form that the concrete module contradicts: it is not shown."""


@dataclass(frozen=True)
class Certificate:
    """At how many random sizes, none of them used before, the concrete module gave exactly the closed forms' values."""

    points: int
    equal: bool


@dataclass(frozen=True)
class Trace(Shown):
    """What a model's code costs, in symbols, and where that holds.

    ``params`` are all distinct parameters, ``N`` those without token and position tables and logits; ``C_forward``
    and ``C_backward`` are FLOPs of a batch as executed (convention torch), ``saved_bytes`` those of the tensors kept
    for the backward pass at 4 bytes for each element. ``dimensions`` says what each size is in the config's fields.
    All hold in the ``domain``, for sizes of at least 2; ``saved_bytes`` also needs ``saved_domain``: where the code
    would take another way, such as copying heads only where there are fewer for keys than for queries.
    ``meanings`` says what fields of the ``config`` are in the notation.
    """

    target: str
    network: Expr
    merged: Merged
    params: Expr
    N: Expr
    C_forward: Expr
    C_backward: Expr
    saved_bytes: Expr
    dimensions: Mapping[str, str]
    domain: tuple[Boolean, ...]
    saved_domain: tuple[Boolean, ...]
    certificate: Certificate
    meanings: Meanings = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def operations(self) -> Iterator[tuple[str, str, Expr]]:
        """Forward FLOPs of every contraction: module path, operator, closed form."""
        for each, times in self.merged.records.items():
            if each.phase == "forward" and times != 0:
                yield each.module, each.operator, expand(2 * times * macs(each))


def trace(
    text: str,
    attention: Any = "eager",
    certify: int = 8,
    stage: Stage = lambda what, done, of: None,
    overrides: Meanings = UNCHANGED,
) -> Trace:
    """Trace a target: ``hf:LlamaForCausalLM``, ``hf:llama``, a config.json, or ``path/to/model.py:factory``.

    ``certify`` is the number of random sizes to compare with the concrete module; ``overrides`` says what fields of
    the config mean in the notation where that is not what the tables say, as in ``{"n_inner": 4 * d_model}``. Raises
    `ConfigError` for a target that is none, `UnknownName` for an override of no field, `NotSymbolic` where code loses
    a symbol, `NotCertified` where the module contradicts the formula.
    """
    target = resolve(text, overrides)
    if getattr(target, "attentions", None) and attention not in target.attentions:
        raise SymflopsError(f"{target.name} has no {attention!r} attention; it has {', '.join(target.attentions)}")
    runs, traced = [], None
    points = list(_layer_points(sorted(target.structural)))
    for done, numbers in enumerate(points):
        stage("running the code on symbols", done, len(points) + certify)
        traced = _symbolic(target, numbers, attention)
        runs.append((numbers, traced.run))
    found = merged_family(runs)
    network = lift_merged(found)
    conditions = (*target.conditions, *(traced.domain.conditions if traced else ()))
    result = Trace(
        target=target.name,
        network=network,
        merged=found,
        params=found.params,
        N=params_without(network),
        C_forward=found.flops("forward"),
        C_backward=found.flops("backward", "recompute"),
        saved_bytes=found.saved_bytes,
        dimensions=target.dimensions,
        domain=tuple(dict.fromkeys(conditions)),
        saved_domain=traced.domain.generic if traced else (),
        certificate=Certificate(0, True),
        meanings=target.meanings,
        config=target.defaults,
    )
    return _certified(result, target, attention, certify, lambda done: stage("certifying", done, len(points) + certify))


def _layer_points(names: list[str]) -> Iterator[dict[str, int]]:
    """Numbers of layers to run at: a base, one more of each kind, and two further runs that confirm."""
    base = dict.fromkeys(names, _FEWEST_LAYERS)
    yield base
    for name in names:
        yield {**base, name: base[name] + 1}
    if names:
        yield {name: number + 1 + place for place, (name, number) in enumerate(base.items())}
        yield {name: number + 2 + 2 * place for place, (name, number) in enumerate(base.items())}


def _symbolic(target: Target, numbers: Mapping[str, int], attention: Any) -> Traced:
    hints = {name: hint for name, hint in target.sizes.items() if name not in target.structural}

    def build(sizes: Mapping[str, Any]) -> tuple[nn.Module, object, Callable[[Any], Tensor]]:
        module = target.build({**numbers, **sizes}, attention)
        return module, inputs(module, sizes), loss

    try:
        traced = symbolic_run(build, hints)
    except SymflopsError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        place = f"{type(error).__name__}: {said} at {_line_of(error)}"
        raise NotSymbolic(f"{target.name} does not run on symbolic sizes: {place}") from error
    if traced.specialised:
        first = "; ".join(str(each) for each in traced.specialised[:3])
        raise NotSymbolic(f"{target.name} turns sizes into numbers ({first}); recovering such sizes is not built yet")
    return traced


def _line_of(error: Exception) -> str:
    """File and line of the model's code where an error came from: the innermost that is not torch's."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if f"{sep}torch{sep}" not in each.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown line"


def _certified(result: Trace, target: Target, attention: Any, points: int, stage: Callable[[int], None]) -> Trace:
    """The trace with its certificate, or an error that shows the sizes where the module differs."""
    forms = {
        "params": result.params,
        "C_forward": result.C_forward,
        "C_backward": result.C_backward,
        "saved_bytes": result.saved_bytes,
    }
    done, refused = 0, 0
    for sizes in random_sizes(target, result.domain, 3 * points):
        if done == points:
            break
        stage(done)
        values = {symbol(name): value for name, value in sizes.items()}
        try:
            seen = concrete_values(target, sizes, attention)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:
            # The module itself refuses these sizes (a padding token beyond the vocabulary): others are drawn.
            refused += 1
            if refused > points:
                raise NotCertified(f"{target.name} refuses most random sizes; the last: {error}") from error
            continue
        done += 1
        apart = not all(_holds(condition, sizes) for condition in result.saved_domain)
        claimed = [name for name in forms if not (apart and name == "saved_bytes")]
        wrong = [name for name in claimed if forms[name].subs(values) != seen[name]]
        if wrong:
            shown = ", ".join(f"{name}={value}" for name, value in sizes.items())
            said = "; ".join(f"{name}: {forms[name].subs(values)} by the formula, {seen[name]} in it" for name in wrong)
            raise NotCertified(f"the module of {target.name} contradicts its closed form at {shown}: {said}")
    return Trace(**{**vars(result), "certificate": Certificate(done, True)})


def random_sizes(target: Target, domain: tuple[Boolean, ...], points: int) -> Iterator[dict[str, int]]:
    """Random sizes inside a domain, not the hints, and the same ones every time."""
    source, found = random.Random(target.name), 0
    for _ in range(_TRIES):
        if found == points:
            return
        drawn = (
            source.randint(1, 5) if name in target.structural else source.randint(2, _LARGEST) for name in target.sizes
        )
        sizes = dict(zip(target.sizes, drawn, strict=True))
        for condition in (*domain, *domain):
            _mend(condition, sizes, source)
        if all(_holds(condition, sizes) for condition in domain) and sizes != dict(target.sizes):
            found += 1
            yield sizes
    raise SymflopsError(f"{target.name}: too few random sizes lie in the domain {', '.join(map(str, domain))}")


def _holds(condition: Boolean, sizes: Mapping[str, int]) -> bool:
    return bool(condition.subs({symbol(name): size for name, size in sizes.items()}) == True)  # noqa: E712


def _mend(condition: Boolean, sizes: dict[str, int], source: random.Random) -> None:
    """Move one size so that a condition holds: a multiple of what must divide it, or as large as it must be."""
    if _holds(condition, sizes):
        return
    if not isinstance(condition, Relational):
        return
    left, right = condition.args
    values = {symbol(name): size for name, size in sizes.items()}
    if isinstance(left, Mod) and left.args[0].is_Symbol:
        sizes[left.args[0].name] = int(left.args[1].subs(values)) * source.randint(1, 4)
    elif isinstance(condition, LessThan) and right.is_Symbol:
        sizes[right.name] = int(left.subs(values)) + source.randint(0, 9)
    elif isinstance(condition, GreaterThan) and left.is_Symbol:
        sizes[left.name] = int(right.subs(values)) + source.randint(0, 9)


def concrete_values(target: Target, sizes: Mapping[str, int], attention: Any) -> dict[str, int]:
    """What the module does at integer sizes: parameters, FLOPs forward and backward, bytes saved."""
    built = target.concrete(sizes, attention, "meta" if attention == "eager" else "fake")
    with built.scope():
        with torch.device(built.device):
            given = inputs(built.module, sizes)
        run = merged_family([({}, record(built.module, given, loss))])
    return {
        "params": int(run.params),
        "C_forward": int(run.flops("forward")),
        "C_backward": int(run.flops("backward", "recompute")),
        "saved_bytes": int(run.saved_bytes),
    }


__all__ = ["Certificate", "NotCertified", "NotSymbolic", "Trace", "trace"]
