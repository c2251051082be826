"""The command line: one thin command for each verb.

Exit code 0: it holds; 1: a check failed; 2: bad input, with one line on stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from symflops.cli.check import check
from symflops.cli.compare import compare
from symflops.cli.derive import derive
from symflops.cli.evaluate import evaluate
from symflops.cli.explain import explain
from symflops.cli.formats import formats
from symflops.cli.identify import identify
from symflops.cli.laws import laws
from symflops.cli.plans import plan
from symflops.cli.sweep import sweep
from symflops.cli.time import time
from symflops.cli.trace import trace
from symflops.cli.verify import verify
from symflops.errors import SymflopsError, UnknownName


class Verbs(click.Group):
    """The verbs; an unknown one is answered with the nearest."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        if cmd_name not in self.commands:
            raise UnknownName("verb", cmd_name, self.commands)
        return self.commands[cmd_name]


@click.group(cls=Verbs, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="symflops")
def symflops() -> None:
    pass


for command in (check, compare, derive, evaluate, explain, formats, identify, laws, plan, sweep, time, trace, verify):
    symflops.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code.

    >>> run(["derive", "kaplan2020", "--format", "json", "--convention", "kaplan"]) # doctest: +ELLIPSIS
    {
      "name": "kaplan2020",
    ...
    0
    """
    try:
        result = symflops.main(args=list(arguments), prog_name="symflops", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return _refuse(f"{error.format_message()} See symflops --help.")
    except SymflopsError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, click.Abort):
        return _refuse("interrupted")
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0


def _refuse(message: str) -> int:
    click.echo(f"symflops: {' '.join(message.split())}", err=True)
    return 2
