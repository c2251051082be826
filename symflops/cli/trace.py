"""``symflops trace``: closed forms from unmodified code."""

from __future__ import annotations

import json
from typing import Any

import click

from symflops.cli import options
from symflops.errors import SymflopsError, UnknownName


@click.command()
@click.argument("target")
@click.option("--attention", default="eager", metavar="KIND", help="eager (default) or sdpa.")
@click.option(
    "--certify", default="8", metavar="N", help="Random sizes to compare with the concrete module (default 8)."
)
@options.as_json
def trace(target: str, attention: str, certify: str, as_json: bool) -> None:
    """Closed forms of TARGET (hf:LlamaForCausalLM, hf:llama, a config.json, FILE.py:FACTORY) from running its code."""
    if attention not in ("eager", "sdpa"):
        raise UnknownName("attention", attention, ["eager", "sdpa"])
    points = options.whole("--certify", certify)
    try:
        from symflops.tracing.trace import trace as run
    except ModuleNotFoundError as error:
        raise SymflopsError(f"trace needs PyTorch ({error}); install it with: pip install 'symflops[torch]'") from None
    from symflops.cli.progress import stages

    with stages() as stage:
        found = run(target, attention, points, stage)
    click.echo(json.dumps(_json(found), indent=2) if as_json else _text(found))


def _json(found: Any) -> dict[str, Any]:
    operations = [{"module": path, "operator": name, "flops": str(form)} for path, name, form in found.operations()]
    forms = ("params", "N", "C_forward", "C_backward", "saved_bytes")
    return {
        "target": found.target,
        **{name: str(getattr(found, name)) for name in forms},
        "convention": "torch",
        "operations": operations,
        "dimensions": dict(found.dimensions),
        "domain": [str(condition) for condition in found.domain],
        "saved_domain": [str(condition) for condition in found.saved_domain],
        "recovered": [],
        "certificate": {"points": found.certificate.points, "equal": found.certificate.equal},
    }


def _text(found: Any) -> str:
    from symflops.render.plain import columns

    data = _json(found)
    forms = [f"{name} = {data[name]}" for name in ("params", "N", "C_forward", "C_backward", "saved_bytes")]
    rows = [[row["module"], row["operator"], row["flops"]] for row in data["operations"]]
    sizes = columns(["size", "in the config"], [[name, text] for name, text in data["dimensions"].items()])
    certificate = f"certified: equal to the concrete module at {data['certificate']['points']} random sizes"
    return "\n".join(
        [
            f"{found.target}: closed forms from its code, every size symbolic; FLOPs as executed (torch), for a batch",
            "",
            *forms,
            "",
            columns(["module", "operator", "forward FLOPs"], rows),
            "",
            sizes,
            "",
            f"holds where: {', '.join(data['domain']) or 'everywhere'}; for sizes of at least 2",
            f"saved_bytes also where: {', '.join(data['saved_domain']) or 'everywhere'}",
            certificate,
        ]
    )
