"""``symflops evaluate``: exact numbers for given sizes."""

from __future__ import annotations

import json
from typing import Any

import click
from sympy import Expr

from symflops.architectures import Architecture, architecture
from symflops.cli import options
from symflops.cli.phases import PHASES, Asked, asked
from symflops.conventions import KAPLAN, TORCH, Convention
from symflops.conventions import convention as convention_of
from symflops.errors import ConfigError, SizeError
from symflops.measures import flops, params, params_without


@click.command()
@click.argument("name")
@options.batch
@options.seq
@click.option("--phase", default="training", metavar="NAME", help=f"{', '.join(PHASES)}; training is the default.")
@click.option("--past", metavar="T", help="Tokens in the cache: decode, chunk and verify (default: a full context).")
@click.option("--tokens", metavar="K", help="Tokens that are computed (chunk, verify) or made (generation).")
@click.option("--set", "sets", multiple=True, metavar="SIZE=VALUE", help="Another value for a size; may be repeated.")
@options.convention
@options.as_json
def evaluate(
    name: str,
    batch: str,
    seq: str | None,
    phase: str,
    past: str | None,
    tokens: str | None,
    sets: tuple[str, ...],
    convention: str | None,
    as_json: bool,
) -> None:
    """Exact parameters and FLOPs of NAME (gpt2, llama3-8b, kaplan2020, a config.json)."""
    from derivations import SOURCES

    n_batch, given = options.whole("--batch", batch), options.assignments(sets)
    lengths = {"--seq": seq, "--past": past, "--tokens": tokens}
    whole = {flag: options.whole(flag, text) for flag, text in lengths.items() if text is not None}
    if name in SOURCES:
        _refuse_phases(name, phase, whole)
        result = _source(name, n_batch, whole.get("--seq"), given, convention_of(convention or KAPLAN))
    else:
        model = architecture(name)
        model = model.with_sizes(**given) if given else model
        result = _architecture(model, n_batch, asked(model, phase, whole), convention_of(convention or TORCH))
    click.echo(json.dumps(result, indent=2) if as_json else _text(result))


def _refuse_phases(name: str, phase: str, whole: dict[str, int]) -> None:
    if phase != "training" or whole.keys() > {"--seq"}:
        raise ConfigError(f"{name} is about whole sequences, without a cache; for {phase} name a model, such as gpt2")


def _architecture(model: Architecture, n_batch: int, lengths: Asked, chosen: Convention) -> dict[str, Any]:
    backward = model.flops(n_batch, lengths.seq, chosen, "backward").expr if lengths.phase == "training" else None
    context = model.sizes.get("n_ctx", lengths.whole)
    beyond = f"{lengths.whole} tokens are beyond the context of {context} positions"
    return {
        "name": model.name,
        "params": model.params(),
        "N": model.params("non_embedding"),
        "active": model.params("active"),
        **_work(lengths.forward(model, n_batch, chosen), backward, n_batch * lengths.computed),
        "cache_bytes": model.cache_bytes(n_batch, lengths.whole),
        "convention": chosen.name,
        "unit": chosen.unit,
        "phase": lengths.phase,
        "batch": n_batch,
        "seq": lengths.seq,
        "past": lengths.past,
        "tokens": lengths.computed,
        "sizes": dict(model.sizes),
        "source": model.source,
        "notes": [*model.notes, *([beyond] if lengths.whole > context else [])],
    }


def _source(name: str, n_batch: int, n_seq: int | None, given: dict[str, int], chosen: Convention) -> dict[str, Any]:
    from derivations import derived_network
    from symflops.notation import symbol

    derivation = derived_network(name, chosen)
    sizes = {**given, **({} if n_seq is None else {"n_ctx": n_seq})}
    values = {symbol(each): size for each, size in {**sizes, "n_batch": n_batch}.items()}
    network = derivation.network
    every, n = params(network), params_without(network)
    forward, backward = (flops(network, chosen, phase).expr for phase in ("forward", "backward"))
    missing = {each.name for form in (every, n, forward, backward) for each in form.free_symbols - values.keys()}
    if missing:
        raise SizeError(f"{name} needs more sizes: {', '.join(sorted(missing))}; give each with --set SIZE=VALUE")
    unused = sorted(set(given) - {each.name for each in network.free_symbols})
    if unused:
        raise SizeError(f"{name} has no size {', '.join(unused)}; it has {_names(network)}")
    every, n, forward, backward = (form.subs(values) for form in (every, n, forward, backward))
    return {
        "name": name,
        "params": int(every),
        "N": int(n),
        **_work(forward, backward, n_batch * sizes["n_ctx"]),
        "convention": chosen.name,
        "unit": chosen.unit,
        "batch": n_batch,
        "seq": sizes["n_ctx"],
        "sizes": sizes,
        "source": derivation.citation,
        "notes": [],
    }


def _names(network: Expr) -> str:
    return ", ".join(sorted(each.name for each in network.free_symbols))


def _work(forward: Expr, backward: Expr | None, tokens: int) -> dict[str, int | str | None]:
    """Whole numbers as such; a figure for one token that is none, as an exact fraction in text."""
    per_token = forward / tokens
    return {
        "C_forward": _exact(forward),
        "C_forward_per_token": _exact(per_token),
        "C_backward": None if backward is None else _exact(backward),
    }


def _exact(value: Expr) -> int | str:
    return int(value) if value.is_Integer else str(value)


def _text(result: dict[str, Any]) -> str:
    from symflops.render.plain import columns

    sizes = ", ".join(f"{name}={size}" for name, size in result["sizes"].items())
    labels = {
        "params": "parameters",
        "N": "N (embeddings left out)",
        "active": "parameters that serve one token",
        "C_forward": f"C_forward, {result['batch']} x {_tokens(result)}",
        "C_forward_per_token": "C_forward for one token",
        "C_backward": "C_backward",
        "cache_bytes": "cache at 2 bytes an element",
    }
    shown = {key: label for key, label in labels.items() if result.get(key) is not None}
    if not result.get("cache_bytes"):
        shown.pop("cache_bytes", None)
    if result.get("active") == result["params"]:
        del shown["active"]
    rows = [[label, _grouped(result[key])] for key, label in shown.items()]
    head = f"{result['name']}: {sizes}\nconvention {result['convention']}, in {result['unit']}s; {result['source']}\n"
    notes = "".join(f"\nnote: {note}" for note in result["notes"])
    return head + "\n" + columns(["Quantity", "Exact value"], rows) + notes


def _tokens(result: dict[str, Any]) -> str:
    """What the forward pass is of, in words."""
    if result.get("past") is not None:
        return f"{result['tokens']} tokens after {result['past']} in the cache"
    if result.get("phase") == "generation":
        return f"{result['seq']} tokens of a prompt and {result['tokens'] - result['seq']} steps after it"
    return f"{result['seq']} tokens"


def _grouped(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value
