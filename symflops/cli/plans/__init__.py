"""``symflops plan``: what training and serving take, one thin command for each question."""

from __future__ import annotations

import click

from symflops.cli.plans.inference import inference
from symflops.cli.plans.largest import largest
from symflops.cli.plans.layout import layout
from symflops.cli.plans.memory import memory
from symflops.cli.plans.optimal import optimal
from symflops.cli.plans.train import train


@click.group()
def plan() -> None:
    """Days, devices, bytes, the largest model: solved for whichever is unknown."""


for command in (inference, largest, layout, memory, optimal, train):
    plan.add_command(command)
