"""``symflops trace``: closed forms from unmodified code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from sympy import Expr

from symflops.cli import options
from symflops.conventions import convention as known_convention
from symflops.errors import ConfigError, SymflopsError, UnknownName
from symflops.expressions import expression

EXPERTS = ("eager", "batched_mm", "grouped_mm")
PHASES = ("training", "checkpointed", "prefill", "decode")


@click.command()
@click.argument("target", required=False)
@click.option("--list", "listed", is_flag=True, help="Which families were certified, with which versions.")
@click.option("--attention", default="eager", metavar="KIND", help="eager (default) or sdpa.")
@click.option("--experts", metavar="KIND", help="eager (a loop), batched_mm or grouped_mm; by default the class's own.")
@click.option(
    "--phase", default="training", metavar="NAME", help="training (default), checkpointed, prefill or decode."
)
@click.option(
    "--certify", default="8", metavar="N", help="Random sizes to compare with the concrete module (default 8)."
)
@click.option("--map", "maps", multiple=True, metavar="FIELD=SIZE", help="What a field is, as n_inner=4*d_model.")
@click.option("--against", metavar="NAME", help="Prove equality with a family (llama), a preset or a config.json.")
@options.convention
@click.option("--format", "form", default="text", metavar="FORMAT", help="text, markdown, latex, html or json.")
@options.as_json
def trace(
    target: str | None,
    listed: bool,
    attention: str,
    experts: str | None,
    phase: str,
    certify: str,
    maps: Sequence[str],
    against: str | None,
    convention: str | None,
    form: str,
    as_json: bool,
) -> int:
    """Closed forms of TARGET (hf:LlamaForCausalLM, hf:llama, a config.json, FILE.py:FACTORY) from running its code."""
    if listed:
        return _list(as_json or form == "json")
    if target is None:
        raise ConfigError("trace needs a TARGET, such as hf:llama, a config.json or model.py:factory; or --list")
    if attention not in ("eager", "sdpa"):
        raise UnknownName("attention", attention, ["eager", "sdpa"])
    if experts not in (None, *EXPERTS):
        raise UnknownName("experts", experts, EXPERTS)
    if phase not in PHASES:
        raise UnknownName("phase", phase, PHASES)
    points = options.whole("--certify", certify)
    chosen, overrides, shape = known_convention(convention or "torch"), meanings(maps), _format(form, as_json)
    _refuse_unknown_network(against)
    try:
        from symflops.tracing.trace import trace as run
    except ModuleNotFoundError as error:
        raise SymflopsError(f"trace needs PyTorch ({error}); install it with: pip install 'symflops[torch]'") from None
    from symflops.cli.progress import stages
    from symflops.render import render_document
    from symflops.tracing.shown import document

    with stages() as stage:
        found = run(
            target, attention=attention, experts=experts, phase=phase, certify=points, overrides=overrides, stage=stage
        )
    proof = None if against is None else found.against(against)
    click.echo(render_document(document(found, chosen, proof), shape))
    return 0 if proof is None or proof.equal else 1


def _list(as_json: bool) -> int:
    """Print what was certified."""
    from symflops.certified import certified
    from symflops.render.plain import columns

    record = certified()
    if as_json:
        click.echo(json.dumps(record.as_json(), indent=2))
        return 0
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    head = ["family", "target", "attention, experts", "sizes", "recovered, besides layers"]
    lines = [f"certified at random sizes on {record.date} with {versions}:", "", columns(head, list(record.rows()))]
    lines += ["", *(f"refused: {name}: {why}" for name, why in record.refused.items())]
    click.echo("\n".join(lines).rstrip())
    return 0


def meanings(texts: Sequence[str]) -> dict[str, Expr]:
    """What fields mean, from ``n_inner=4*d_model`` and such.

    >>> meanings(["hidden_size=d_model", "n_inner=4*d_model"])
    {'hidden_size': d_model, 'n_inner': 4*d_model}

    Raises `ConfigError` for text that maps no field, or one twice, and what `expression` raises.
    """
    found: dict[str, Expr] = {}
    for text in texts:
        name, equals, size = (each.strip() for each in text.partition("="))
        if not equals or not name or name in found:
            raise ConfigError(f"--map takes FIELD=SIZE, each field once, such as n_inner=4*d_model; not {text[:80]!r}")
        found[name] = expression(size)
    return found


def _format(form: str, as_json: bool) -> str:
    from symflops.render import known_format

    return known_format("json" if as_json else form)


def _refuse_unknown_network(name: str | None) -> None:
    """Raises what `architecture` raises for a name that is none, before anything slow runs."""
    from symflops.architectures import FAMILIES, architecture, presets

    if name is None or name in FAMILIES:
        return
    try:
        architecture(name)
    except UnknownName:
        if not name or not Path(name).exists():
            raise UnknownName("network", name, {*FAMILIES, *presets()}) from None
        raise
