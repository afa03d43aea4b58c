"""A model as SQL: a query, or view, that adds predictions to the rows of a table; double precision.

A missing value without a rule, and an unknown level unless it is ignored, makes the prediction NULL.
"""

from typing import Any

from ..errors import MissingExtraError
from ..models.links import LARGEST_ETA
from .formula import Formula, Levels, plain

# The language that is written; others are translated from it.
_OWN = "duckdb"


def predictor(formula: Formula, output: int = 0, alias: str = "") -> str:
    """The linear predictor as one expression of columns."""
    # Where numbers like 1e0 are exact decimals, as in PostgreSQL, this makes the sum a double.
    terms = [f"CAST({_literal(formula.intercept[output])} AS DOUBLE)"]
    for one in formula.numbers:
        if one.weights[output]:
            column = f"CAST({_column(one.name, alias)} AS DOUBLE)"
            if one.missing is not None:
                column = f"COALESCE({column}, {_literal(one.missing)})"
            terms.append(f"{_literal(one.weights[output])} * {column}")
        elif one.missing is None:  # 0, or NULL where it is missing
            terms.append(f"0e0 * CAST({_column(one.name, alias)} AS DOUBLE)")
        if one.absent is not None:
            column = _column(one.name, alias)
            terms.append(f"CASE WHEN {column} IS NULL THEN {_literal(one.absent[output])} ELSE 0e0 END")
    terms += [_of_levels(one, output, formula.ignore_unknown, alias) for one in formula.categories]
    if formula.offset is not None:
        terms.append(f"CAST({_column(formula.offset, alias)} AS DOUBLE)")
    return "\n    + ".join(terms)


def query(formula: Formula, table: str, dialect: str = _OWN, view: str | None = None) -> str:
    """A query whose rows are those of a table with the linear predictors and predictions added.

    Parameters
    ----------
    formula : Formula
    table : str
        As it stands behind FROM.
    dialect : str
        One of sqlglot's: "duckdb", "postgres", "bigquery", "snowflake", "spark", "tsql", ...
    view : str, optional
        Make a view of that name instead of a query.
    """
    text = _several(formula, table) if formula.outputs > 1 else _one(formula, table)
    if view is not None:
        text = f"CREATE VIEW {view} AS\n{text}"
    return translated(text, dialect) + ";\n"


def translated(text: str, dialect: str) -> str:
    """The same in another dialect.

    Raises
    ------
    MissingExtraError
        sqlglot is not installed.
    ValueError
        It knows no such dialect.
    """
    if dialect == _OWN:
        return text
    try:
        import sqlglot
    except ImportError:
        raise MissingExtraError("sqlglot", "sql") from None
    try:
        return str(sqlglot.transpile(text, read=_OWN, write=dialect, pretty=True)[0])
    except ValueError as error:
        raise ValueError(f"unknown SQL dialect {dialect!r}: {error}") from None


def _one(formula: Formula, table: str) -> str:
    if formula.classes is None:
        columns = f"{_mean(formula.link, 'eta')} AS prediction"
    else:
        first, second = (_value(plain(label)) for label in formula.classes)
        columns = f"CASE WHEN eta > 0 THEN {second} WHEN eta <= 0 THEN {first} END AS prediction"
        if formula.link == "logit":
            name = _column(f"probability_{plain(formula.classes[1])}")
            columns += f",\n  {_mean('logit', 'eta')} AS {name}"
    inner = f"SELECT\n    t.*,\n    {predictor(formula, alias='t')}\n    AS eta\n  FROM {table} AS t"
    return f"SELECT\n  s.*,\n  {columns}\nFROM (\n  {inner}\n) AS s"


def _mean(link: str, eta: str) -> str:
    """The mean as an expression of the linear predictor; never EXP of a large positive number, which overflows."""
    if link == "probit":
        raise ValueError("SQL has no distribution function of the normal law, which the probit link needs: use PMML")
    rate = f"CASE WHEN {eta} > {_literal(LARGEST_ETA)} THEN EXP({_literal(LARGEST_ETA)}) ELSE EXP({eta}) END"
    # Of a small rate t, 1 - EXP(-t) has lost the digits that t - t^2 / 2 has.
    small = f"EXP({eta}) * (1e0 - EXP({eta}) / 2e0)"
    return {
        "identity": eta,
        "inverse": f"1e0 / {eta}",
        "log": rate,
        "logit": f"CASE WHEN {eta} >= 0 THEN 1e0 / (1e0 + EXP(-{eta})) ELSE EXP({eta}) / (1e0 + EXP({eta})) END",
        "cloglog": f"CASE WHEN {eta} < -18e0 THEN {small} ELSE 1e0 - EXP(-({rate})) END",
    }[link]


def _several(formula: Formula, table: str) -> str:
    assert formula.classes is not None
    labels = [plain(label) for label in formula.classes]
    etas = [f"eta_{k}" for k in range(formula.outputs)]
    inner = ",\n    ".join(f"{predictor(formula, k, 't')}\n    AS {eta}" for k, eta in enumerate(etas))
    inner = f"SELECT\n    t.*,\n    {inner}\n  FROM {table} AS t"
    with_top = f"SELECT s.*, GREATEST({', '.join(etas)}) AS eta_top\n  FROM (\n  {inner}\n  ) AS s"
    cases = " ".join(f"WHEN {eta} = eta_top THEN {_value(label)}" for eta, label in zip(etas, labels, strict=True))
    columns = ["u.*", f"CASE {cases} END AS prediction"]
    if formula.link == "softmax":
        total = " + ".join(f"EXP({eta} - eta_top)" for eta in etas)
        columns += [
            f"EXP({eta} - eta_top) / ({total}) AS {_column(f'probability_{label}')}"
            for eta, label in zip(etas, labels, strict=True)
        ]
    return "SELECT\n  " + ",\n  ".join(columns) + f"\nFROM (\n  {with_top}\n) AS u"


def _of_levels(one: Levels, output: int, ignore_unknown: bool, alias: str) -> str:
    column = _column(one.name, alias)
    if one.missing is not None:
        column = f"COALESCE({column}, {_value(one.missing)})"
    cases = "\n      ".join(
        f"WHEN {_value(level)} THEN {_literal(weight)}"
        for level, weight in zip(one.levels.tolist(), one.weights[:, output], strict=True)
    )
    # No level is NULL: a missing one without a rule stays an error, unknown ones or not.
    otherwise = f"ELSE CASE WHEN {column} IS NULL THEN NULL ELSE 0e0 END " if ignore_unknown else ""
    return f"CASE {column}\n      {cases}\n      {otherwise}END"


def _column(name: str, alias: str = "") -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"{alias}.{quoted}" if alias else quoted


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _literal(value: float) -> str:
    """A number as a literal of double precision, which reads back as the same."""
    mantissa, _, exponent = repr(float(value)).partition("e")
    text = f"{mantissa}e{exponent or '0'}"
    return f"({text})" if value < 0 else text
