"""The sources that a command's options of files stand for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from ..errors import DataError
from ._data import LEARNT, FileOptions
from ._named_values import base_of

# Formats whose columns have no names, and whose sources know nothing of missing values.
_NAMELESS = ("libsvm", "npy", "npz")


def open_files(data: Sequence[str], files: FileOptions) -> tuple[list[Any], dict[str, Any]]:
    """Sources of the files that options name, and what an estimator that learns from them is told of their columns."""
    from ..data.files import file_format, file_sources

    kind = file_format(data, files.format_name)
    options = files.for_sources()
    if files.formula is not None:
        options |= _of_formula(files.formula, files, kind)
    options["missing"], missing = _parted(options["missing"], files, kind)
    if files.missing_indicator and missing in ("error", "drop"):
        told = "it goes with missing values that are filled in: say how, as in --missing median"
        raise typer.BadParameter(told, param_hint="--missing-indicator")
    told_beside = {
        "missing": missing,
        "missing_indicator": files.missing_indicator,
        "base": base_of(files.base or [], "--base"),
        "formula": files.formula,
        "unknown": files.unknown or "error",
    }
    return file_sources(data, format=kind, **options), told_beside


def open_files_for(fitted: Any, data: Sequence[str], files: FileOptions, targets: bool = True) -> list[Any]:
    """Sources of the columns that a fitted model knows, of the types that it knows.

    Parameters
    ----------
    fitted : estimator
    data : sequence of str
        Files.
    files : FileOptions
    targets : bool
        Whether the targets are wanted: those that are named, or else the fit's, or its formula's.
    """
    from ..data.files import ENDINGS, file_format, file_sources
    from ..data.hive import folder_names

    kind = file_format(data, files.format_name)
    features = fitted.data_features_
    names = features.names
    levels = dict(zip(names[features.numeric :], features.levels, strict=True)) if names else {}
    # Text that looks like numbers would be guessed to be numbers.
    known = {name: "string" for name, of_fit in levels.items() if of_fit.dtype.kind == "U"}
    if known and kind not in ("csv", "tsv", "jsonl"):  # whose own columns have types
        known = {name: known[name] for name in folder_names(data, tuple(ENDINGS)) if name in known}
    options = files.for_sources(known)
    _refuse_learnt(options["missing"], levels)
    if kind not in _NAMELESS:
        if targets and options["target"] is None:
            options["target"] = fitted.target_name_ if isinstance(fitted.target_name_, str) else None
        if options["offset"] is None and fitted.has_offset_:
            options["offset"] = fitted.offset_name_
    if targets and options["target"] is None and fitted.formula_ is not None:
        options["target"] = fitted.formula_.terms.target
    if kind == "libsvm":
        if options["zero_based"] is None:
            options["zero_based"] = fitted.zero_based_
        if options["zero_based"] is None:
            raise DataError(
                "the model was not fitted on libsvm files: tell whether these count columns from 0 or from 1, with "
                "--zero-based or --one-based"
            )
        options["n_features"] = fitted.n_features_in_
    elif kind not in _NAMELESS:
        if not names:
            raise DataError(
                f"the model was fitted without names of columns, so that {kind} files cannot be matched to it"
            )
        options |= {"features": names, "categorical": list(levels)}
    return file_sources(data, format=kind, **options)


def refuse_overwriting(output: Path, model: Path, data: Sequence[str] = ()) -> None:
    """Refuse an output that is one of the files to read: the model, which has been read before, or data."""
    from ..data.files import ENDINGS
    from ..data.paths import expand, is_url

    files = expand(data, tuple(ENDINGS)) if data else []
    here = [str(model), *(file for file in files if not is_url(file))]
    if output.is_file() and any(output.samefile(file) for file in here):
        raise DataError(f"cannot write to {output}: it is one of the files to read, name another")


def _of_formula(formula: str, files: FileOptions, kind: str) -> dict[str, Any]:
    """Target and features that a formula names."""
    from ..data.terms_ import terms_of

    if kind in _NAMELESS:
        raise DataError(f"a formula names columns, and {kind} files have no names of columns: leave --formula out")
    terms = terms_of(formula, intercept=False)  # whether it has one is the estimator's to check
    if terms.target is not None and files.target is not None:
        told = (
            f"it names the target, {terms.target!r}, as --target does: leave --target out, or the formula's left side"
        )
        raise typer.BadParameter(told, param_hint="--formula")
    for option in ("features", "exclude"):
        if getattr(files, option) is not None:
            told = f"it names the columns that are used, others are not looked at: leave --{option} out"
            raise typer.BadParameter(told, param_hint="--formula")
    return {"target": files.target or terms.target, "features": list(terms.variables)}


def _parted(missing: Any, files: FileOptions, kind: str) -> tuple[Any, Any]:
    """What is said of missing values: to the sources, and to the estimator, which learns, and marks what it fills."""
    if not isinstance(missing, dict):
        to_sources = missing == "drop" and kind not in _NAMELESS
        return (missing, "error") if to_sources else (None, missing or "error")
    beside = (files.target, files.weight, files.offset)  # of which the estimator knows nothing
    told = {
        name: value
        for name, value in missing.items()
        if name not in beside and (value in LEARNT or files.missing_indicator or kind in _NAMELESS)
    }
    return {name: value for name, value in missing.items() if name not in told} or None, told or "error"


def _refuse_learnt(missing: Any, levels: Any) -> None:
    """Refuse to learn from rows to predict for what the fit has learnt; "mean" may also be a level."""
    told = missing.items() if isinstance(missing, dict) else [("", missing)]
    for name, value in told:
        if value in LEARNT and name not in levels:
            of = f" of {name!r}" if name else ""
            raise typer.BadParameter(f"the {value}{of} is learnt by fit, and the model has it", param_hint="--missing")
