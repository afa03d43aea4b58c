"""A model as SQL: a query, or view, that adds predictions to the rows of a table; double precision.

A missing value without a rule, and an unknown level unless it is ignored, makes the prediction NULL. NaN is missing as
NULL is; engines do not agree on how it compares (in most it is equal to itself and above all numbers, by IEEE 754 it is
neither), so that only comparisons are written that say the same in all of them.

The table may have columns that no one here knows of, and what is added stands before them: of two columns with the same
name DuckDB and SQLite take the first, which is ours, and most others refuse.
"""

from typing import Any

import numpy as np

from ..errors import MissingExtraError
from ..models.links import LARGEST_ETA
from .formula import SMALL_CLOGLOG, Formula, Levels, plain, refuse_bytes

# The language that is written; others are translated from it.
_OWN = "duckdb"

# Those in which the names of columns differ where only their case does.
_BY_CASE = ("postgres", "snowflake", "oracle", "clickhouse")

# Those whose queries have no truth values, and the type of what they have instead: sqlglot writes comparisons, which
# are no values there.
_TRUTH = {"tsql": "BIT", "fabric": "BIT", "oracle": "INT", "teradata": "INT"}

# Those in which other text than ASCII is N'...'; '...' would be put into the code page of the database.
_NATIONAL = ("tsql", "fabric")

# Linear predictors, the largest of several, and the largest probability of ordered classes.
_ETA, _TOP, _LIKELIEST = "fullbatch_eta", "fullbatch_eta_top", "fullbatch_likeliest"


def predictor(formula: Formula, output: int = 0, alias: str = "") -> str:
    """The linear predictor as one expression of columns."""
    # Where numbers like 1e0 are exact decimals, as in PostgreSQL, this makes the sum a double.
    terms = [f"CAST({_literal(formula.intercept[output])} AS DOUBLE)"]
    for one in formula.numbers:
        column = f"CAST({_column(one.name, alias)} AS DOUBLE)"
        value = column
        if one.missing is not None:
            value = f"CASE WHEN {_is_there(column)} THEN {column} ELSE {_literal(one.missing)} END"
        # A coefficient of 0 too without a rule: where the value is missing the term is, and so is the sum.
        if one.weights[output] or one.missing is None:
            terms.append(f"{_literal(one.weights[output])} * {value}")
        if one.absent is not None:
            terms.append(f"CASE WHEN {_is_there(column)} THEN 0e0 ELSE {_literal(one.absent[output])} END")
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

    Raises
    ------
    ValueError
        A column has the name of one that is added, or two have the same to the dialect; the dialect is unknown; labels
        are bytes; or the link is probit.
    """
    refuse_bytes(formula, "SQL")
    _check_names(formula, dialect)
    write = _ordered if formula.cuts is not None else _several if formula.outputs > 1 else _one
    text = write(formula, table)
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
        known = sqlglot.Dialect.get_or_raise(dialect)
    except ValueError as error:
        raise ValueError(f"unknown SQL dialect {dialect!r}: {error}") from None
    name = type(known).__name__.casefold()

    def own(node: Any) -> Any:
        if isinstance(node, sqlglot.exp.Boolean) and name in _TRUTH:
            return sqlglot.exp.cast(sqlglot.exp.Literal.number(int(node.this)), _TRUTH[name], dialect=known)
        if isinstance(node, sqlglot.exp.Literal) and node.is_string and name in _NATIONAL and not node.this.isascii():
            return sqlglot.exp.National(this=node.this)
        return node

    return str(sqlglot.parse_one(text, read=_OWN).transform(own).sql(known, pretty=True))


def _check_names(formula: Formula, dialect: str) -> None:
    added = {name.casefold() for name in _added(formula)}
    seen: dict[str, str] = {}
    for name in formula.columns:
        folded = name.casefold()
        if folded in added:
            raise ValueError(f"a column is named {name!r}, as one that the query adds is: rename it")
        if dialect not in _BY_CASE and seen.setdefault(folded, name) != name:
            raise ValueError(f"{seen[folded]!r} and {name!r} are one column to {dialect}: rename one of them")


def _added(formula: Formula) -> list[str]:
    """Names of the columns that a query adds."""
    names = ["prediction", *_probabilities(formula)]
    if formula.cuts is not None:
        return [*names, _ETA, _LIKELIEST]
    return [*names, _ETA] if formula.outputs == 1 else [*names, *_etas(formula), _TOP]


def _etas(formula: Formula) -> list[str]:
    return [f"{_ETA}_{k}" for k in range(formula.outputs)]


def _probabilities(formula: Formula) -> list[str]:
    """Of the second class of two, or of each of several, or of ordered ones."""
    if formula.classes is None or formula.link == "margin":
        return []
    first = 1 if formula.link == "logit" else 0
    return [f"probability_{plain(label)}" for label in formula.classes[first:]]


def _one(formula: Formula, table: str) -> str:
    eta = f"s.{_ETA}"
    if formula.classes is None:
        predicted = _mean(formula.link, eta)
    else:
        first, second = (_value(plain(label)) for label in formula.classes)
        predicted = f"CASE WHEN {eta} > 0 THEN {second} ELSE {first} END"
    columns = [f"{_where_finite(eta, predicted)} AS prediction"]
    for name in _probabilities(formula):
        columns.append(f"{_where_finite(eta, _mean('logit', eta))} AS {_column(name)}")
    inner = f"SELECT\n    {predictor(formula, alias='t')}\n    AS {_ETA},\n    t.*\n  FROM {table} AS t"
    return "SELECT\n  " + ",\n  ".join([*columns, "s.*"]) + f"\nFROM (\n  {inner}\n) AS s"


def _mean(link: str, eta: str) -> str:
    """The mean as an expression of the linear predictor.

    EXP is taken of nothing below -700, where it is less than 1e-304 and counts as 0, nor above 700, where `predict`
    goes on with that of 700: many engines end the query where its result is out of range, PostgreSQL for 0 too.
    """
    if link == "probit":
        raise ValueError("SQL has no distribution function of the normal law, which the probit link needs: use PMML")
    least, most = _literal(-LARGEST_ETA), _literal(LARGEST_ETA)
    largest = _literal(float(np.exp(LARGEST_ETA)))
    return {
        "identity": eta,
        # Of nothing, or next to it, there is no mean that a double could hold.
        "inverse": f"CASE WHEN {eta} > 1e-307 OR {eta} < -1e-307 THEN 1e0 / {eta} END",
        "log": f"CASE WHEN {eta} > {most} THEN {largest} WHEN {eta} < {least} THEN 0e0 ELSE EXP({eta}) END",
        "logit": f"CASE WHEN {eta} > {most} THEN 1e0 WHEN {eta} >= 0 THEN 1e0 / (1e0 + EXP(-{eta})) "
        f"WHEN {eta} < {least} THEN 0e0 ELSE EXP({eta}) / (1e0 + EXP({eta})) END",
        # Of a small rate t, 1 - EXP(-t) has lost digits that a series has; above EXP(6) it is 1 to the last one.
        "cloglog": f"CASE WHEN {eta} > 6e0 THEN 1e0 WHEN {eta} < {least} THEN 0e0 "
        f"WHEN {eta} < {_literal(SMALL_CLOGLOG)} THEN EXP({eta}) * (1e0 - EXP({eta}) / 2e0 * (1e0 - EXP({eta}) / 3e0 "
        f"* (1e0 - EXP({eta}) / 4e0))) ELSE 1e0 - EXP(-EXP({eta})) END",
    }[link]


def _share(difference: str) -> str:
    """EXP of what is 0 at the most."""
    return f"(CASE WHEN {difference} < {_literal(-LARGEST_ETA)} THEN 0e0 ELSE EXP({difference}) END)"


def _several(formula: Formula, table: str) -> str:
    assert formula.classes is not None
    names = _etas(formula)
    inner = ",\n    ".join(f"{predictor(formula, k, 't')}\n    AS {name}" for k, name in enumerate(names))
    inner = f"SELECT\n    {inner},\n    t.*\n  FROM {table} AS t"
    largest = ", ".join(f"s.{name}" for name in names)
    with_top = f"SELECT GREATEST({largest}) AS {_TOP}, s.*\n  FROM (\n  {inner}\n  ) AS s"
    etas, top = [f"u.{name}" for name in names], f"u.{_TOP}"
    labels = [_value(plain(label)) for label in formula.classes]
    cases = " ".join(f"WHEN {eta} = {top} THEN {label}" for eta, label in zip(etas, labels, strict=True))
    columns = [f"{_where_finite(top, f'CASE {cases} END')} AS prediction"]
    shares = [_share(f"{eta} - {top}") for eta in etas]
    total = " + ".join(shares)
    for share, name in zip(shares, _probabilities(formula), strict=False):
        columns.append(f"{_where_finite(top, f'{share} / ({total})')} AS {_column(name)}")
    return "SELECT\n  " + ",\n  ".join([*columns, "u.*"]) + f"\nFROM (\n  {with_top}\n) AS u"


def _ordered(formula: Formula, table: str) -> str:
    """Of ordered classes: probabilities from the logits of P(y > c), and the likeliest, of equals the first."""
    assert formula.classes is not None
    assert formula.cuts is not None
    assert formula.ranks is not None
    names, cuts, between = _probabilities(formula), formula.cuts.tolist(), formula.between.tolist()
    inner = f"SELECT\n    {predictor(formula, alias='t')}\n    AS {_ETA},\n    t.*\n  FROM {table} AS t"
    probabilities = []
    for name, rank in zip(names, formula.ranks.tolist(), strict=True):
        parts = []
        if rank > 0:  # above the class before
            parts.append(f"({_mean('logit', f'(s.{_ETA} + {_literal(cuts[rank - 1])})')})")
        if rank < len(cuts):  # and not above this one
            parts.append(f"({_mean('logit', f'(-s.{_ETA} - {_literal(cuts[rank])})')})")
        value = " * ".join([*parts, _literal(between[rank])])
        probabilities.append(f"{_where_finite(f's.{_ETA}', value)} AS {_column(name)}")
    with_each = "SELECT\n  " + ",\n  ".join([*probabilities, "s.*"]) + f"\n  FROM (\n  {inner}\n  ) AS s"
    columns = [_column(name, "v") for name in names]
    with_top = f"SELECT GREATEST({', '.join(columns)}) AS {_LIKELIEST}, v.*\n  FROM (\n  {with_each}\n  ) AS v"
    labels = [_value(plain(label)) for label in formula.classes]
    cases = " ".join(
        f"WHEN {_column(name, 'u')} = u.{_LIKELIEST} THEN {label}" for name, label in zip(names, labels, strict=True)
    )
    return f"SELECT\n  CASE {cases} END AS prediction,\n  u.*\nFROM (\n  {with_top}\n) AS u"


def _is_there(number: str) -> str:
    """Whether a number is one: NaN or its negative is at most 0 nowhere, and NULL is not either."""
    return f"{number} <= 0e0 OR -{number} <= 0e0"


def _where_finite(eta: str, value: str) -> str:
    """NULL where the predictor is NULL, NaN or infinite, which `predict` refuses."""
    return f"CASE WHEN {eta} BETWEEN -1e308 AND 1e308 THEN {value} END"


def _of_levels(one: Levels, output: int, ignore_unknown: bool, alias: str) -> str:
    column = _column(one.name, alias)
    if one.levels.dtype.kind != "U":
        column = f"CASE WHEN {_is_there(f'CAST({column} AS DOUBLE)')} THEN {column} END"
    if one.missing is not None:
        # Truth values are the levels 0 and 1.
        value = int(one.missing) if isinstance(one.missing, bool) else one.missing
        column = f"COALESCE({column}, {_value(value)})"
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
