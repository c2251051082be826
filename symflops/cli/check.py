"""``symflops check``: the formula against the real module, and against closed forms of its code."""

from __future__ import annotations

import json
from dataclasses import replace

import click

from symflops.architectures import architecture
from symflops.cli import options
from symflops.errors import ConfigError, SymflopsError, UnknownName

PROOFS = ("trace", "none")


@click.command()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="The table of all families, with the evidence for each.")
@options.batch
@options.seq
@click.option("--attention", default="eager", metavar="KIND", help="eager (default) or sdpa.")
@click.option(
    "--proof", default="trace", metavar="KIND", help="trace (default): prove equality with the code's forms; or none."
)
@options.as_json
def check(name: str | None, every: bool, batch: str, seq: str | None, attention: str, proof: str, as_json: bool) -> int:
    """Compare the closed forms of NAME (gpt2, llama3-8b, a config.json) with its real PyTorch module."""
    if every:
        return _table(as_json)
    if name is None:
        raise ConfigError("check needs a NAME, such as gpt2 or a config.json; or --all")
    for what, given, known in (("attention", attention, ("eager", "sdpa")), ("proof", proof, PROOFS)):
        if given not in known:
            raise UnknownName(what, given, known)
    n_batch = options.whole("--batch", batch)
    model = architecture(name, "flash" if attention == "sdpa" else "eager")
    n_seq = model.sizes.get("n_ctx", 1) if seq is None else model.length(options.whole("--seq", seq))
    try:
        from symflops.tracing.check import check_model, proved
    except ModuleNotFoundError as error:
        raise SymflopsError(f"check needs PyTorch ({error}); install it with: pip install 'symflops[torch]'") from None
    from symflops.cli.progress import stages

    with stages() as stage:
        report = check_model(model, n_batch, n_seq, stage)
        report = replace(report, proof=proved(model, stage)) if proof == "trace" else report
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.text())
    return 0 if report.holds else 1


def _table(as_json: bool) -> int:
    """Every family against the certified closed forms of its code."""
    from symflops.certified import certified
    from symflops.proved import proofs, table

    found = list(proofs())
    versions, date = certified().versions, certified().date
    data = {"versions": versions, "date": date, "families": [proof.as_json() for proof in found]}
    click.echo(json.dumps(data, indent=2) if as_json else table(found))
    return 0 if all(proof.equal for proof in found) else 1
