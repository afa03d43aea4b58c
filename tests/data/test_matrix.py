"""Every door, meaning and kind of value: a model is the same from everywhere, or an error says what to do."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from doors import DOORS, by_name, by_value, table_sources
from kinds_of_values import KINDS, MEANINGS, OUTCOMES, ROWS
from matrix import A, T, expected_of, faults_of, held_kinds, roles_of, table_of

from fullbatch import DataError, GeneralizedLinearRegressor, LogisticRegression, array_sources, load_model


@pytest.mark.parametrize("name", DOORS)
def test_the_same_from_every_door_or_an_error_that_helps(tmp_path, name):
    assert not faults_of(DOORS[name], tmp_path)


def theta_of(sources, meaning):
    """Parameters after a few steps, as bytes."""
    model = LogisticRegression if meaning != "numbers" else GeneralizedLinearRegressor
    model = model(engine="serial", max_iter=3).fit(sources)
    return model.coef_.tobytes() + np.array(model.intercept_).tobytes()


@pytest.mark.filterwarnings("ignore::fullbatch.FitWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", DOORS)
def test_one_theta_from_every_door(tmp_path, name):
    door, values = DOORS[name], np.array(KINDS["fractions"].values)
    held = door.hold(table_of("fractions"), tmp_path)
    theta = theta_of(door.open(held, features=["a", "v"], target="t"), "feature")
    assert theta == theta_of(array_sources(np.column_stack([A, values]), T), "feature")


def saved(folder, frame, y):
    """A model, as it comes back from a file."""
    LogisticRegression(engine="serial").fit(frame, y).save(folder / "model.fb")
    return load_model(folder / "model.fb")


@pytest.mark.parametrize("name", DOORS)
def test_saved_models_predict_the_same_from_every_door(tmp_path, name):
    door = DOORS[name]
    b = np.arange(ROWS) % 4
    c = ["north", "süd", "west"] * 4
    frame = pd.DataFrame({"a": A, "b": b, "c": c}) if door.named else pd.DataFrame({"a": A, "b": b})
    model = saved(tmp_path, frame, T)
    expected = model.predict_proba(frame)
    day = pd.Timestamp("2024-01-01").date()
    table = pa.table(
        {
            "day": pa.array([day, None] * 6, pa.date32()),
            "c": c,
            "hole": pa.array([None, 1.5] * 6),
            "b": b,
            "words": pa.array([f"text {k}" if k else None for k in range(ROWS)]),
            "a": A,
            "t": T,
            "nothing": pa.array([None] * ROWS, pa.int64()),
        }
    )
    held = door.hold(table, tmp_path)
    if door.open in (table_sources, by_name, by_value):
        assert model.predict_proba(held).tobytes() == expected.tobytes()
    if door.open not in (by_name, by_value):
        told = {"features": ["c", "b", "a"]} if door.named else {"features": ["a", "b"], "target": "t"}
        sources = door.open(held, **told)
        assert model.predict_proba(sources).tobytes() == expected.tobytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DOORS)
def test_every_theta_is_that_of_the_plain_form(tmp_path, name):
    door, compared = DOORS[name], 0
    for kind, held in held_kinds(door, tmp_path):
        for meaning in door.meanings:
            made = plain_sources(meaning, *expected_of(door, meaning, kind))
            if made is not None:
                theirs = told(partial(door.open, held, **roles_of(meaning)), meaning)
                assert theirs == told(made, meaning), f"{kind} as {meaning}"
                compared += 1
    assert compared > 30


def plain_sources(meaning, values, outcome, stored):
    """What makes sources of arrays, or of a table of texts or whole numbers; None where an error is to come."""
    if outcome == "error" or (outcome == "levels" and isinstance(values[0], list)):
        return None
    if outcome == "levels":
        levels = pa.array([value if isinstance(value, str) else int(value) for value in values])
        return partial(table_sources, pa.table({"v": levels, "t": T}), target="t", categorical=["v"])
    column = np.array(values if outcome == "labels" else np.array(values, np.float64))
    X = (column.astype(stored) if meaning == "feature" else A).reshape(ROWS, -1)
    y = column if meaning in ("classes", "numbers") else T
    return partial(array_sources, X, y, *(column if meaning == its else None for its in ("weight", "offset")))


def told(made, meaning):
    """What comes of a fit of the sources, or of what kind the error is."""
    try:
        return theta_of(made(), meaning)
    except (DataError, RuntimeWarning) as error:
        return type(error)


def test_the_page_shows_the_table_of_outcomes():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    rule, *rows = page.partition(f"| | {' | '.join(MEANINGS)} |\n")[2].partition("\n\n")[0].splitlines()
    assert set(rule) == {"|", "-"}
    assert rows == [f"| {row} | {' | '.join(outcomes.split())} |" for row, outcomes in OUTCOMES.items()]
