"""What the estimators around a user's own network share, whatever the framework: from data to a fit, and files."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ..data.given import Given, given_to_fit
from ..errors import DamagedError, FitWarning, ModelFileError
from ..models.framework import Program, Recipe
from ..models.sized import SizedNetwork
from ..objective.objective import Objective
from ..protocols.rows import Rows
from ..protocols.seams import Engine
from ..run.callbacks import Callback
from ..run.checkpoints import Checkpoint
from ..run.driver import minimize
from ..saving.contents import Contents, Each, Either, Member, Null, Number, Row, Rule, Text
from ..wording.arguments import check_number, check_whole
from ..wording.warned import warn
from ._applied import Applied
from ._fitting import Fitting, learning
from ._saved import LATER_VALUES, NO_CODE, Saved
from .early_stopping import EarlyStopping, begun, that_ended

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkEstimator(Fitting, Applied, Saved, BaseEstimator):  # type: ignore[misc]
    """A network of the user's own with scikit-learn's manners: what all of them have in common.

    Minimises (sum of w_i loss_i) / (sum of w_i) + alpha ||weights||^2 / 2 by exact gradients over blocks of rows. F is
    not convex, as a rule: where the fit ends depends on where it begins, and nobody can tell whether it is a minimum.

    Parameters
    ----------
    loss : str or callable
        A name, or a function that gives one loss per row, as the framework's model takes it.
    alpha : float, default=0.0
        Strength of the L2 penalty on the mean loss. It touches weights and no biases, unless `penalized` says so.
    penalized : callable or None, default=None
        Tells from a parameter's name whether the penalty touches it.
    tol : float, default=1e-4
        The fit ends when the solver estimates that F can fall by at most this share of itself (or, from a start that
        is far off, of what it has fallen): its own word, since nothing else is known of such a model.
    max_iter : int, default=1000
        Iterations at the most.
    warm_start : bool, default=False
        Start from the last fit's weights.
    random_state : int, RandomState or None, default=None
        Seed of the weights that a function makes: the same number gives the same fit, None another one each time. A
        network that is given as such begins with its own weights, whatever the seed.
    chunk_rows : int, default=2048
        Rows that pass through the network at a time: bounds memory.
    unknown : {"error", "ignore"}, default="error"
        What predictions do with a category that the fit has not seen: refuse the row, or count it as none of them.
    solver : str or Solver, default="auto"
        As in `fullbatch.minimize`: "auto" is L-BFGS.
    engine : str or Engine, default="threads"
        "threads", "serial", "ray", "dask", or an engine object, which stays open after the fit.
    checkpoint : Checkpoint, path or URL, default=None
        A directory where the fit keeps its state, and from which it goes on. See `fullbatch.Checkpoint`.
    callbacks : sequence of callables, default=()
        Called with an `Iterate` at every iterate.
    verbose : int, default=0
        1 shows progress on standard error.

    Attributes
    ----------
    theta_ : (size,) float64 array
        The trained arrays laid end to end, as the solver has found them.
    recipe_ : TorchModel, JaxModel or KerasModel
        The network for this data as `fullbatch.minimize` takes it.
    weights_ : dict of str to array
        The trained arrays by name, float64.
    n_iter_ : int
        Iterations.
    seed_ : int
        Of the weights at the start.
    n_samples_fit_ : int
        Rows seen in fit.
    status_ : str
        How the fit ended: the value of a `fullbatch.Status`.
    result_ : Result
        How the fit went. A loaded model has none.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    """

    _saved_parameters: ClassVar = {
        "loss": Either(Text(), Null()),
        "alpha": Number(0),
        "tol": Number(0),
        "max_iter": Number(0, whole=True),
        "chunk_rows": Number(1, whole=True),
        "unknown": Text(("error", "ignore")),
    }
    _saved_members: ClassVar = {"theta": Member("f", (None,), fewest=1), **Saved._saved_members}
    missing: ClassVar[Literal["error"]] = "error"  # type: ignore[misc]
    _losses: ClassVar[tuple[str, ...]]
    _code: ClassVar[tuple[str, ...]]  # parameters that are code, which no file holds

    if TYPE_CHECKING:  # a parameter of the kinds, behind the network itself
        loss: Any
    alpha: float = 0.0
    penalized: Callable[[str], bool] | None = None
    tol: float = 1e-4
    max_iter: int = 1000
    warm_start: bool = False
    random_state: Any = None
    chunk_rows: int = 2048
    unknown: str = "error"
    solver: Any = "auto"
    engine: str | Engine = "threads"
    checkpoint: Checkpoint | str | PathLike[str] | None = None
    callbacks: Sequence[Callback] = ()
    verbose: int = 0

    @abstractmethod
    def _recipe_for(self, seed: int) -> Callable[[int, int], Recipe]:
        """What makes the recipe from the numbers of features and outputs, on the workers."""

    @abstractmethod
    def _model(self) -> SizedNetwork:
        """What the workers compute."""

    @abstractmethod
    def _outputs_are(self, schema: Any) -> None:
        """Keep what the outputs mean."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the network.

        Parameters
        ----------
        X : (n, p) array_like, sparse matrix, data frame, Dask array or data frame, Ray Dataset, or list of Source
            Features; or sources, which bring targets and weights with them. Text columns of a frame are categories,
            one column of the network's input for each level.
        y : (n,) array_like, or str
            Targets; None with sources. Values, or the name of a column of X.
        sample_weight : (n,) array_like, or str, optional
            Weights, given like y; default: 1 for every row.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The data cannot be used; says where and why.
        ModelError
            The network cannot be trained on full batches, or does not fit the data.
        """
        self._check_parameters()
        with learning(self) as learner, ExitStack() as stack:
            given = learner._given_to_fit(X, y, sample_weight)
            learner.seed_ = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            model = learner._model()
            blocks = stack.enter_context(closing(learner._opened(stack).place(model, given.sources)))
            learner._fit_blocks(blocks, given, model)
        return self

    def _given_to_fit(self, X: Any, y: Any, sample_weight: Any) -> Given:
        return given_to_fit(X, y, sample_weight, asked_by=type(self).__name__)

    def _fit_blocks(self, blocks: Any, given: Given, model: SizedNetwork) -> None:
        schema = blocks.schema
        start = self._start(schema, model)
        self._keep_columns(schema, given)
        self._outputs_are(schema)
        self.recipe_, self.n_samples_fit_ = model.recipe(schema), schema.n_rows
        stops = begun(self.callbacks, self._at)
        result = minimize(
            Objective(blocks, l2=float(self.alpha)),
            start,
            solver=self._solver(),
            tol=self.tol,
            max_iter=self.max_iter,
            callbacks=self._callbacks(),
            checkpoint=self.checkpoint,
        )
        ended = that_ended(stops)
        self.theta_ = result.theta if ended is None else ended.best_theta
        self.n_iter_, self.status_, self.result_ = result.iterations, result.status.value, result
        self.l2_, self.l1_ = float(self.alpha), 0.0
        if ended is not None:
            return
        if not result.success:
            warn(f"[not-converged] {result.message}", ConvergenceWarning)
        constant = self._of_a_constant(schema, model)
        if constant is not None and result.value >= constant:
            warn(
                f"[constant-is-better] F is {result.value:.6g}, and {constant:.6g} of outputs that are alike for all "
                "rows: bring columns to comparable spreads, begin elsewhere (random_state), or fit with a smaller tol",
                FitWarning,
            )

    def _at(self, theta: Array) -> Self:
        """The model with other weights."""
        model = copy(self)
        model.theta_ = theta
        return model

    def _of_a_constant(self, schema: Any, model: SizedNetwork) -> float | None:
        """The least F of outputs that are alike for all rows; None where that is not known."""
        return None

    def _start(self, schema: Any, model: SizedNetwork) -> Array:
        start = model.start(schema)
        if not (self.warm_start and hasattr(self, "theta_")):
            return start
        if not (self.features_.same_as(schema.features) and len(self.theta_) == len(start) and self._continues(schema)):
            raise ValueError("warm_start: the network, the classes or the features are not those of the last fit")
        return np.asarray(self.theta_)

    def _continues(self, schema: Any) -> bool:
        """Whether the last fit's outputs meant the same."""
        return True

    @property
    def weights_(self) -> dict[str, Array]:
        """The trained arrays by name, float64."""
        arrays = self._program.arrays
        cuts = np.cumsum([int(np.prod(shape)) for _, shape in arrays])[:-1]
        parts = np.split(self.theta_, cuts)
        return {name: part.reshape(shape) for (name, shape), part in zip(arrays, parts, strict=True)}

    @property
    def _program(self) -> Program:
        program: Program = self.recipe_._program(self.features_.size)
        return program

    def _network(self) -> Any:
        """The trained network, as its framework has it."""
        return self._program.network(self.theta_)

    def _predictors(self, rows: Rows) -> Array:
        """(n, outputs) of the network, of rows with its columns."""
        X = rows.X if rows.scale == 1.0 else rows.X * np.float64(rows.scale)
        given = np.asarray(self.recipe_.predict(self.theta_, X), np.float64)
        return given[:, None] if given.ndim == 1 else given

    def _matrix(self) -> tuple[Array, Array]:
        raise TypeError(f"{type(self).__name__} has no coefficients: see weights_")

    def _width(self) -> int:
        return self._n_outputs

    def _counted(self, iterations: int) -> int:
        return iterations

    def _check_parameters(self) -> None:
        if not hasattr(self, "loss"):
            name = type(self).__name__.removesuffix("Estimator")
            raise TypeError(
                f"{type(self).__name__} is what {name}Classifier and {name}Regressor share: use one of them"
            )
        self._check_run()
        for one in self.callbacks:
            if isinstance(one, EarlyStopping):
                one.check()
        self._check_engine()
        if not (isinstance(self.unknown, str) and self.unknown in ("error", "ignore")):
            raise ValueError(f'unknown must be "error" or "ignore", got {self.unknown!r}')
        check_number("alpha", self.alpha, finite=True)
        check_whole("chunk_rows", self.chunk_rows, 1)
        if not callable(self.loss) and self.loss not in self._losses:
            raise ValueError(f"loss must be {', '.join(map(repr, self._losses))} or a function, got {self.loss!r}")
        if not (self.penalized is None or callable(self.penalized)):
            raise ValueError(f"penalized must be a function of a parameter's name, or None, got {self.penalized!r}")
        self._recipe_for(0)  # refuses code that is none

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- files: numbers and names; the network itself is code, and is given again --------------------------------

    def _parameters_found(self) -> dict[str, Array]:
        return {"theta": self.theta_}

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        program = self._program
        metadata["parameters"]["loss"] = self.loss if isinstance(self.loss, str) else None
        metadata["code"] = [*self._code, *(name for name in ("loss", "penalized") if callable(getattr(self, name)))]
        metadata["seed"], metadata["outputs"] = self.seed_, self._n_outputs
        metadata["weights"] = [[name, [int(length) for length in shape]] for name, shape in program.arrays]
        metadata["frozen"] = digest_of(program)

    @property
    @abstractmethod
    def _n_outputs(self) -> int:
        """How many outputs the network was asked for."""

    @classmethod
    def _contents(cls) -> Contents:
        contents = super()._contents()
        values: dict[str, Rule] = {
            "code": Each(Text((*cls._code, "loss", "penalized"))),
            "seed": Number(0, whole=True),
            "outputs": Number(1, whole=True),
            "weights": Each(Row(Text(), Each(Number(0, whole=True)))),
            "frozen": Text(),
        }
        return replace(contents, values={**contents.values, **values}, defaults=LATER_VALUES)

    @classmethod
    def _check_code(cls, path: str, metadata: Mapping[str, Any], code: Mapping[str, Any]) -> None:
        wanted = metadata["code"]
        if not {*cls._code} <= {*wanted} or (metadata["parameters"]["loss"] is None) is not ("loss" in wanted):
            raise DamagedError(f"{path} is damaged: code is {wanted}, which is not that of a {cls.__name__}")
        for name in wanted:
            if name not in code:
                raise ModelFileError(
                    f"{path} holds the weights of a {cls.__name__} and no code: give {name}= as it was in the fit, "
                    f"load_model(path, {', '.join(f'{one}=...' for one in wanted)})"
                )
        for name in code:
            if name not in wanted:
                raise ValueError(f"{path}: {name} is no code of this {cls.__name__}, which has {', '.join(wanted)}")

    @classmethod
    def from_saved(
        cls, path: str, arrays: Mapping[str, Array], metadata: Mapping[str, Any], code: Mapping[str, Any] = NO_CODE
    ) -> Self:
        """The model of a file's contents and of its code; see `fullbatch.load_model`."""
        model = super().from_saved(path, arrays, metadata, code)
        model.recipe_ = model._recipe_for(model.seed_)(model.features_.size, metadata["outputs"])
        program = model._program
        now = program.arrays
        for (old_name, old), (name, shape) in zip(metadata["weights"], now, strict=False):
            if tuple(old) != tuple(shape) or not model._same_name(old_name, name):
                raise ModelFileError(
                    f"{path}: this is another network: where the fit had {old_name!r} of shape {tuple(old)}, it has "
                    f"{name!r} of shape {tuple(shape)}"
                )
        if len(now) != len(metadata["weights"]):
            raise ModelFileError(
                f"{path}: this is another network: it has {len(now)} trained arrays, the fit had "
                f"{len(metadata['weights'])}"
            )
        if model.theta_.shape != (program.parameters.size,):
            raise DamagedError(f"{path} is damaged: theta has shape {model.theta_.shape}, not that of the weights")
        if metadata["frozen"] != digest_of(program):
            raise ModelFileError(
                f"{path}: the network's arrays that are not trained ({', '.join(name for name, _ in program.frozen)}) "
                "are others than in the fit: give the network that has those"
            )
        return model

    @staticmethod
    def _same_name(old: str, name: str) -> bool:
        return old == name

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        parameters = {name: value for name, value in metadata["parameters"].items() if value is not None}
        model = cls(**parameters)
        model.theta_, model.seed_ = arrays["theta"], metadata["seed"]
        return model


def digest_of(program: Program) -> str:
    """Of the arrays that are not trained; empty where there are none."""
    digest = hashlib.sha256()
    for _, value in program.frozen:
        digest.update(f"{value.dtype} {value.shape} ".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest() if program.frozen else ""


def with_options(estimator: NetworkEstimator, recipe: Callable[..., Recipe], **more: Any) -> Callable[..., Recipe]:
    """A function that makes recipes, with the options that all frameworks have: it can be sent to workers."""
    for name in estimator._code:
        if getattr(estimator, name) is None:
            raise TypeError(f"{type(estimator).__name__} needs {name}, got None")
    return partial(recipe, chunk_rows=int(estimator.chunk_rows), penalized=estimator.penalized, **more)
