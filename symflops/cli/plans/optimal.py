"""``symflops plan optimal``: the best parameters and tokens for a budget, by scaling laws."""

from __future__ import annotations

import click

from symflops.cli.plans import options as own


@click.command()
@click.option("--flops", metavar="C", help="FLOPs in all, such as 5.76e23.")
@click.option("--params", metavar="N", help="Parameters: the budget for which they are best.")
@click.option("--tokens", metavar="D", help="Tokens: the budget for which they are best.")
@own.device
@click.option("--count", metavar="G", help="Devices.")
@click.option("--mfu", metavar="U", help="Model FLOPs utilisation, in (0, 1].")
@click.option("--days", metavar="T", help="Days, instead of FLOPs.")
@own.dtype
@click.option("--law", metavar="NAME", help="kaplan2020, chinchilla-1, -2, -3, … (default besiroglu2024).")
@own.printed
def optimal(
    flops: str | None,
    params: str | None,
    tokens: str | None,
    device: str | None,
    count: str | None,
    mfu: str | None,
    days: str | None,
    dtype: str,
    law: str | None,
    symbolic: bool,
    form: str | None,
    plot: str | None,
    as_json: bool,
) -> int:
    """The best model for a budget, or the budget of a model.

    Of two of --flops, --params and --tokens: how far from the best they are, and what that costs.
    """
    from symflops.plans.optimal import DEFAULT, Optimal
    from symflops.plans.optimal import optimal as plan_of
    from symflops.training.hardware import device as device_of

    asked = Optimal(
        budget=own.exact("--flops", flops),
        params=own.exact("--params", params),
        tokens=own.exact("--tokens", tokens),
        device=None if device is None else device_of(device),
        count=own.whole_or_none("--count", count),
        mfu=own.exact("--mfu", mfu),
        days=own.exact("--days", days),
        form=dtype,
        law=law or DEFAULT,
    )
    return own.show(plan_of(asked), symbolic, form, plot, as_json)
