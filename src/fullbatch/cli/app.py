"""The commands, and what becomes of their errors."""

import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from .. import __version__
from ..errors import BlockError, DataError, EngineError, MissingExtraError, ModelFileError
from ._interrupts import INTERRUPTED, tell, was_interrupted
from ._screen import folded, print_error, screen, warnings_shown
from .apply import EVALUATE_EXAMPLES, PREDICT_EXAMPLES, evaluate, predict
from .check import EXAMPLES as CHECK_EXAMPLES
from .check import check
from .export import EXAMPLES as EXPORT_EXAMPLES
from .export import export
from .fit import EXAMPLES as FIT_EXAMPLES
from .fit import fit
from .info import fetch, info
from .path import CV_EXAMPLES, PATH_EXAMPLES, cv, path
from .saved_model import EXAMPLES as INSPECT_EXAMPLES
from .saved_model import inspect
from .summary import EXAMPLES as SUMMARY_EXAMPLES
from .summary import summary

EXIT_CODES = """Exit codes: 0 converged, or done; 1 something is wrong (data, files, packages, cluster); 2 wrong usage;
3 stopped before converging; 130 interrupted."""

INTERRUPTS = """Ctrl-C ends fit after the evaluation under way, and the iterate that it has reached is shown and
saved; before the first one there is nothing to save. A second Ctrl-C ends at once, and saves no model; a checkpoint is
still written."""

# How Typer, with the words of its versions, tells of values that are none: in ours.
_WORDS = [
    (r"^Value error, ", ""),
    (r"^Input should be a valid integer.*|.* is not a valid integer( range)?\.?$", "it must be a whole number"),
    (r"^Input should be a valid number.*|.* is not a valid float( range)?\.?$", "it must be a number"),
    (
        r"^Input should be greater than or equal to (\S+)$|.* is not in the range x>=(\S+)\.$",
        r"it must be \1\2 or more",
    ),
    (r"^Input should be less than or equal to (\S+)$", r"it must be \1 or less"),
    (r".* is not in the range (\S+)<=x<=(\S+)\.$", r"it must be from \1 to \2"),
]

# What commands need beside a model, which does not keep it, where nothing is named.
_ROWS = {
    "summary": "Standard errors are made from the rows of the fit, which a model does not keep: name their files, with "
    "the options that fit had",
    "check": "A model is checked on rows whose targets are known, and keeps none: name files of those of the fit, or "
    "better of others",
}


class _Commands(TyperGroup):
    """Values that are none are told in plain words, and Ctrl-C by the exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if error.param is not None and error.ctx is not None and error.param.name == "data" and not error.message:
                error.message = _ROWS.get(str(error.ctx.info_name), "")
            error.message = in_plain_words(error.message)
            if screen.is_terminal:
                before = len(f"Error: {error.format_message()}") - len(error.message)  # as Click puts it
                error.message = "\n".join(folded(" " * before + error.message, screen.width, "  ")).lstrip()
            raise
        except KeyboardInterrupt:
            tell()
            raise typer.Exit(INTERRUPTED) from None


class _Command(TyperCommand):
    """Its help shows arguments without the types that they have in Python."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            if isinstance(parameter, TyperArgument):
                parameter.display_type_rich = lambda ctx: ""  # type: ignore[method-assign]


def in_plain_words(message: str) -> str:
    """What Typer says of a value, without the words of the packages that it is made of."""
    for theirs, ours in _WORDS:
        message = re.sub(theirs, ours, message)
    return message


app = typer.Typer(
    cls=_Commands,
    help="Distributed full-batch training: exact gradients over blocks of data, quasi-Newton on the driver.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(cls=_Command, epilog=f"{FIT_EXAMPLES}\n\n{EXIT_CODES}\n\n{INTERRUPTS}")(fit)
app.command(cls=_Command, epilog=f"{PATH_EXAMPLES}\n\n{EXIT_CODES}")(path)
app.command(cls=_Command, epilog=f"{CV_EXAMPLES}\n\n{EXIT_CODES}")(cv)
app.command(cls=_Command, epilog=PREDICT_EXAMPLES, short_help="Predict with a saved model.")(predict)
app.command(cls=_Command, epilog=EVALUATE_EXAMPLES)(evaluate)
app.command(cls=_Command, epilog=INSPECT_EXAMPLES)(inspect)
app.command(cls=_Command, epilog=SUMMARY_EXAMPLES)(summary)
app.command(cls=_Command, epilog=CHECK_EXAMPLES)(check)
app.command(cls=_Command, epilog=EXPORT_EXAMPLES)(export)
app.command(cls=_Command)(fetch)
app.command(cls=_Command, short_help="Show versions, CPUs, memory, engines and models.")(info)


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


def run(given: Sequence[str]) -> None:
    """Run a command; errors are one line, with a traceback on --debug.

    Parameters
    ----------
    given : sequence of str
        The arguments.
    """
    arguments = [argument for argument in given if argument != "--debug"]
    debug = len(arguments) < len(given)
    try:
        with warnings_shown():
            app(arguments, prog_name="fullbatch")
    except Exception as error:
        if was_interrupted() and not debug:  # and came out as something else
            sys.exit(INTERRUPTED)
        known = (DataError, ModelFileError, MissingExtraError, EngineError, BlockError, ValueError, OSError)
        if debug or not isinstance(error, known):
            raise
        print_error(error)
        sys.exit(1)
