"""A model as a plain, fitted estimator of scikit-learn, which needs fullbatch no more."""

from typing import Any

import numpy as np

from ..models.deviance import family_of
from .formula import Formula, Levels, Number


def as_sklearn(formula: Formula, nullable_text: bool = True) -> Any:
    """A linear model of scikit-learn; behind a pipeline where there are categories, missing values or an offset.

    Its input is then a frame with the names of the columns, the offset among them, whose coefficient is 1; without
    names and an offset a matrix.

    Parameters
    ----------
    formula : Formula
    nullable_text : bool
        Whether missing text may be `pandas.NA`, and the pipeline then has this object within, which files of skops
        cannot hold; otherwise it is None or NaN.
    """
    if formula.cuts is not None:
        raise ValueError("scikit-learn has no model of ordered classes: use SQL or ONNX, or save the model")
    model = _linear(formula)
    if not (formula.categories or formula.filled or formula.offset):
        coef = np.array([one.weights for one in formula.numbers]).T
        return _with(model, formula, coef, formula.columns if formula.named else None)
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    steps: list[tuple[str, Any, list[Any]]] = []
    weights: list[Any] = []
    by_place = not (formula.named or formula.categories or formula.offset)
    for place, one in enumerate(formula.numbers):
        steps.append((one.name, _number(one), [place if by_place else one.name]))
        weights.append(one.weights[None] if one.absent is None else np.array([one.weights, one.absent]))
    for category in formula.categories:
        steps.append((category.name, _one_hot(category, formula.ignore_unknown, nullable_text), [category.name]))
        weights.append(category.weights)
    if formula.offset is not None:
        steps.append((formula.offset, "passthrough", [formula.offset]))
        weights.append(np.ones((1, formula.outputs)))
    columns = ColumnTransformer(steps, sparse_threshold=0.0)
    example = _example(formula)
    columns.fit(example.to_numpy() if by_place else example)
    fitted = _with(model, formula, np.concatenate(weights).T, None)
    return Pipeline([("columns", columns), ("model", fitted)])


def _number(one: Number) -> Any:
    if one.missing is None:
        return "passthrough"
    return _filled_number(one.missing, one.absent is not None)


def _filled_number(value: float, indicate: bool = False) -> Any:
    """Whatever stands for numbers becomes floating point first: an imputer takes no truth values, nor None."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="constant", fill_value=value, add_indicator=indicate, keep_empty_features=True)
    return make_pipeline(StandardScaler(with_mean=False, with_std=False), imputer)


def _filled_text(value: str, nullable: bool) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    if nullable:
        import pandas as pd

        kinds = [pd.NA]  # and all others with it
    else:
        kinds = [np.nan, None]
    return make_pipeline(*(SimpleImputer(missing_values=kind, strategy="constant", fill_value=value) for kind in kinds))


def _refuses_missing(text: bool) -> list[Any]:
    """Steps that change nothing but refuse what is missing, by the checks that scikit-learn has itself."""
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import FunctionTransformer

    if not text:
        return [FunctionTransformer(validate=True)]
    # None becomes NaN, which neither lets pass.
    to_nan = SimpleImputer(missing_values=None, strategy="constant", fill_value=np.nan, keep_empty_features=True)
    return [to_nan, SimpleImputer(missing_values="", strategy="constant", fill_value="")]


def _one_hot(category: Levels, ignore_unknown: bool, nullable_text: bool) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    text = category.levels.dtype.kind == "U"
    levels = category.levels.astype(object) if text else category.levels.astype(np.float64)
    encoder = OneHotEncoder(
        categories=[levels], handle_unknown="ignore" if ignore_unknown else "error", sparse_output=False
    )
    if category.missing is None:
        # An encoder that ignores unknown levels takes a missing one for such, which `predict` refuses.
        return make_pipeline(*_refuses_missing(text), encoder) if ignore_unknown else encoder
    if text:
        return make_pipeline(_filled_text(str(category.missing), nullable_text), encoder)
    return make_pipeline(_filled_number(float(category.missing)), encoder)


def _example(formula: Formula) -> Any:
    """A row with a level that is known in every column, and a hole in each that has an indicator of them."""
    import pandas as pd

    row: dict[str, Any] = {one.name: [0.0 if one.absent is None else np.nan] for one in formula.numbers}
    for category in formula.categories:
        level = category.levels.tolist()[0]
        row[category.name] = np.array([level], object if isinstance(level, str) else np.float64)
    if formula.offset is not None:
        row[formula.offset] = [0.0]
    return pd.DataFrame(row)


def _linear(formula: Formula) -> Any:
    from sklearn import linear_model

    if formula.link == "margin":
        from sklearn.svm import LinearSVC

        return LinearSVC()
    if formula.classes is not None:
        return linear_model.LogisticRegression(C=np.inf)
    if formula.link not in ("identity", "log"):
        raise ValueError(f"scikit-learn has no regressor with the {formula.link} link: hand over SQL, ONNX or PMML")
    form, power = family_of(formula.loss, formula.options).variance
    if form == "power" and power and (formula.link, power) not in {("log", 1.0), ("log", 2.0)}:
        return linear_model.TweedieRegressor(power=power, alpha=0.0, link=formula.link)
    if formula.link == "identity":
        return linear_model.LinearRegression()
    if form == "power" and power == 0.0:
        return linear_model.TweedieRegressor(power=0.0, alpha=0.0, link="log")
    return (linear_model.GammaRegressor if power == 2.0 else linear_model.PoissonRegressor)(alpha=0.0)


def _with(model: Any, formula: Formula, coef: Any, names: list[str] | None) -> Any:
    """The model with what a fit sets."""
    model.n_features_in_ = coef.shape[1]
    if names is not None:
        model.feature_names_in_ = np.array(names, object)
    if formula.classes is not None:
        model.classes_, model.coef_, model.intercept_ = formula.classes, coef, formula.intercept
        model.n_iter_ = np.array([0], np.int32)
    else:
        model.coef_, model.intercept_ = coef[0], float(formula.intercept[0])
        if hasattr(model, "_get_loss"):
            model.n_iter_, model._base_loss = 0, model._get_loss()
    return model
