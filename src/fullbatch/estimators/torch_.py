"""Estimators around a torch module of the user's own."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..models.framework import Recipe
from ..models.sized import asked_for
from ..models.torch_ import TorchModel
from ._network_kinds import NetworkClassifier, NetworkRegressor
from ._networks import NetworkEstimator, with_options


@dataclass(kw_only=True, eq=False, repr=False)
class _TorchEstimator(NetworkEstimator):
    """A torch module with scikit-learn's manners."""

    _code: ClassVar = ("module",)

    module: Any = field(kw_only=False)
    device: str = "cpu"

    @property
    def module_(self) -> Any:
        """The trained module, a `torch.nn.Module` in evaluation mode: a copy of the caller's own."""
        return self._network()

    def _recipe_for(self, seed: int) -> Callable[[int, int], Recipe]:
        loss = _LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        labels = isinstance(self, NetworkClassifier)
        options = {"module": self.module, "loss": loss, "seed": seed, "labels": labels, "device": self.device}
        made = with_options(self, _recipe, **options)
        if not callable(self.module):
            raise TypeError(
                f"module must be a torch.nn.Module, or a function or class that makes one, got {self.module!r}"
            )
        if isinstance(self.module, type) or not hasattr(self.module, "named_parameters"):
            asked_for(self.module, "module", n_features=1, n_outputs=1)  # refuses what needs more
        return made


@dataclass(kw_only=True, eq=False, repr=False)
class TorchClassifier(NetworkClassifier, _TorchEstimator):  # type: ignore[misc]
    """A classifier around a torch module, by exact gradients over blocks of rows.

    Minimises the weighted mean of the rows' losses plus alpha ||weights||^2 / 2, in evaluation mode: dropout passes
    everything, batch normalisation uses its stored moments. The result is the same to the bit on any engine and number
    of workers.

    Parameters
    ----------
    module : torch.nn.Module, or a function or class that makes one
        A module is copied, and the fit begins with its weights. A function is called on every worker, with the numbers
        `n_features` and `n_outputs` where it has parameters of these names, and torch's generator seeded by
        `random_state`. `n_outputs` is the number of classes; of two classes a module may also have one output.
    loss : "cross_entropy" or callable, default="cross_entropy"
        `loss(outputs, indices)` gives one loss per row, as those of `torch.nn.functional` with `reduction="none"`.
        Outputs of shape (rows, 1) reach it as (rows,). Outputs are logits.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    device : str, default="cpu"
        Where each worker computes: "cpu", "cuda", "cuda:1", ...
    alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module, in evaluation mode; a new copy each time.
    classes_ : (K,) array
        Labels, sorted.
    theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every network: see `fullbatch.estimators.NetworkEstimator`.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        The same.
    """

    loss: Any = field(default="cross_entropy", kw_only=False)


@dataclass(kw_only=True, eq=False, repr=False)
class TorchRegressor(NetworkRegressor, _TorchEstimator):  # type: ignore[misc]
    """A regressor around a torch module, for one target or several, by exact gradients over blocks of rows.

    Minimises the weighted mean of the rows' losses plus alpha ||weights||^2 / 2, in evaluation mode: dropout passes
    everything, batch normalisation uses its stored moments. The result is the same to the bit on any engine and number
    of workers.

    Parameters
    ----------
    module : torch.nn.Module, or a function or class that makes one
        A module is copied, and the fit begins with its weights. A function is called on every worker, with the numbers
        `n_features` and `n_outputs` where it has parameters of these names, and torch's generator seeded by
        `random_state`. `n_outputs` is the number of targets.
    loss : {"squared", "huber", "poisson"} or callable, default="squared"
        `loss(outputs, y)` gives one loss per row, as those of `torch.nn.functional` with `reduction="none"`. Of one
        target both reach it as (rows,). See `fullbatch.estimators.NetworkRegressor`.
    device : str, default="cpu"
        Where each worker computes: "cpu", "cuda", "cuda:1", ...
    alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module, in evaluation mode; a new copy each time.
    n_targets_ : int
        Numbers that are predicted.
    theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every network: see `fullbatch.estimators.NetworkEstimator`.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        The same.
    """

    loss: Any = field(default="squared", kw_only=False)


def _recipe(n_features: int, n_outputs: int, *, module: Any, seed: int, **options: Any) -> TorchModel:
    return TorchModel(_Fresh(module, n_features, n_outputs, seed), **options)


@dataclass(frozen=True)
class _Fresh:
    """A factory of what the user gave: copies of a module, or what a function makes under a seed."""

    module: Any
    n_features: int
    n_outputs: int
    seed: int

    def __call__(self) -> Any:
        import torch

        if isinstance(self.module, torch.nn.Module):
            return copy.deepcopy(self.module)
        sizes = asked_for(self.module, "module", n_features=self.n_features, n_outputs=self.n_outputs)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.module(**sizes)


def _cross_entropy(outputs: Any, y: Any) -> Any:
    from torch.nn import functional

    if outputs.ndim == 1:
        return functional.binary_cross_entropy_with_logits(outputs, y.to(outputs.dtype), reduction="none")
    return functional.cross_entropy(outputs, y, reduction="none")


def _squared(outputs: Any, y: Any) -> Any:
    return _of_row(0.5 * (outputs - y) ** 2)


def _huber(outputs: Any, y: Any) -> Any:
    from torch.nn import functional

    return _of_row(functional.huber_loss(outputs, y, reduction="none"))


def _poisson(outputs: Any, y: Any) -> Any:
    return _of_row(outputs.exp() - y * outputs)


def _of_row(losses: Any) -> Any:
    """Of several targets their sum."""
    return losses if losses.ndim == 1 else losses.sum(dim=1)


_LOSSES = {"cross_entropy": _cross_entropy, "squared": _squared, "huber": _huber, "poisson": _poisson}
