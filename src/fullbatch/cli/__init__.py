"""The command line: fit, predict, evaluate, fetch, info."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..errors import BlockError, DataError, EngineError, MissingExtraError, ModelFileError
from ._screen import EXIT_CODES, INTERRUPTED, print_error, screen, warnings_shown
from .apply import EVALUATE_EXAMPLES, PREDICT_EXAMPLES, evaluate, predict
from .fit import EXAMPLES as FIT_EXAMPLES
from .fit import fit
from .info import fetch, info


class _Commands(TyperGroup):
    """A command that does not end by itself on Ctrl-C says that it was interrupted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            screen.print("interrupted")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    help="Distributed full-batch training: exact gradients over blocks of data, quasi-Newton on the driver.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(epilog=f"{FIT_EXAMPLES}\n\n{EXIT_CODES}")(fit)
app.command(epilog=PREDICT_EXAMPLES)(predict)
app.command(epilog=EVALUATE_EXAMPLES)(evaluate)
app.command()(fetch)
app.command()(info)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors are one line, with a traceback on --debug."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        with warnings_shown():
            app(arguments)
    except (DataError, ModelFileError, MissingExtraError, EngineError, BlockError, ValueError, OSError) as error:
        if len(arguments) < len(sys.argv) - 1:
            raise
        print_error(error)
        sys.exit(1)
