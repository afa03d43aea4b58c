"""Groups of columns whose coefficients are zero together: how they are told, and what their norms count."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.schema import Features
from ..saving.contents import Each, Either, Named, Null, Number, Row, Rule, Text
from ..wording.arguments import is_number
from ..wording.messages import shortened
from ._per_column import LARGEST, by_name, per_column

Array = npt.NDArray[Any]

# Of a column: text or a whole number.
Label = str | int

_LABEL = Either(Text(), Number(whole=True))

# A share that is no more than this is rounding.
_NOTHING = 1e-15


@dataclass(kw_only=True, eq=False, repr=False)
class Grouped:
    """Parameters of a penalty that has norms of groups.

    Parameters
    ----------
    groups : "columns", mapping of str to label, (p,) array_like of labels, or None, default=None
        Columns whose coefficients are zero together or not at all, by a penalty of the norm of each group (group
        lasso). "columns": each column of the data is one, a categorical column with all of its levels; of several
        classes the coefficients of all of them (glmnet's `type.multinomial="grouped"`). Or by names of columns, text
        or whole numbers, alike for those of one group; columns that are not named are groups of their own. Or such a
        label for each coefficient. Not together with bounds.
    group_ratio : float or None, default=None
        Share of the penalty's strength that is the groups'; default: all that `l1_ratio` leaves, which is a sparse
        group lasso if both are above 0. L2 has the rest.
    group_weights : mapping of label to float, or None, default=None
        What the strength is multiplied by for a group, 0 for none; the label of "columns" is the column's name.
        Default: the root of the number of its columns, of which each level is one.
    """

    _saved_parameters: ClassVar[Mapping[str, Rule]] = {
        "groups": Either(Null(), Text(("columns",)), Named(_LABEL), Each(_LABEL)),
        "group_ratio": Either(Null(), Number(0, 1)),
        "group_weights": Either(Null(), Each(Row(_LABEL, Number(0)))),  # names in JSON are text
    }

    groups: Any = None
    group_ratio: float | None = None
    group_weights: Mapping[Any, float] | None = None

    def _check_parameters(self) -> None:
        super()._check_parameters()  # type: ignore[misc]
        _check_groups(self.groups)
        if not (self.group_ratio is None or (is_number(self.group_ratio) and 0 <= self.group_ratio <= 1)):
            raise ValueError(f"group_ratio must be a number from 0 to 1, or None, got {self.group_ratio!r}")
        weights = self.group_weights
        told = isinstance(weights, Mapping) and all(map(_is_weight, weights.values())) and all(map(_is_label, weights))
        if not (weights is None or told):
            raise ValueError(
                f"group_weights must be a mapping from groups to finite numbers of 0 or more, or None, got {weights!r}"
            )
        if self.groups is None:
            for name in ("group_ratio", "group_weights"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is of groups, and there are none: give groups, or leave it out")
            return
        share = self._most_l1()  # type: ignore[attr-defined]
        if self.group_ratio is not None and share + self.group_ratio > 1.0 + _NOTHING:
            raise ValueError(
                f"l1_ratio={share} and group_ratio={self.group_ratio} are shares of one strength, and together more "
                "than all of it"
            )
        if self.lower_bounds is not None or self.upper_bounds is not None:  # type: ignore[attr-defined]
            raise ValueError("no solver here knows norms of groups together with bounds: leave groups or bounds out")

    def _group_share(self) -> float:
        """Share of the strength that is the groups' norms'."""
        if self.groups is None:
            return 0.0
        return 1.0 - self._l1_share() if self.group_ratio is None else float(self.group_ratio)  # type: ignore[attr-defined]

    def _share_out(self, strength: float, l1_share: float) -> None:
        """Set the strengths of the parts of the penalty."""
        super()._share_out(strength, l1_share)  # type: ignore[misc]
        self.l21_ = self._group_share() * strength
        if self.groups is not None:
            rest = 1.0 - l1_share - self._group_share()
            self.l2_ = rest * strength if rest > _NOTHING else 0.0

    def _groups(self, features: Features) -> tuple[Array, Array] | None:
        """The number of each column's group, and the strength of its norm."""
        if not self._group_share():
            return None
        numbers, labels = _numbers(by_name(self.groups), features)
        weights = np.sqrt(np.bincount(numbers, minlength=len(labels)))
        for label, weight in (self.group_weights or {}).items():
            places = [number for number, one in enumerate(labels) if one == label]
            if not places:
                raise DataError(
                    f"group_weights: there is no group {label!r}: groups are {shortened([str(one) for one in labels])}"
                )
            weights[places] = weight
        return numbers, self.l21_ * weights[numbers]

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)  # type: ignore[misc]
        parameters, groups = metadata["parameters"], by_name(self.groups)
        if isinstance(groups, Mapping):
            parameters["groups"] = {name: _plain(label) for name, label in groups.items()}
        elif not (groups is None or isinstance(groups, str)):
            parameters["groups"] = [_plain(label) for label in np.asarray(groups).tolist()]
        if self.group_weights is not None:
            parameters["group_weights"] = [(_plain(label), float(one)) for label, one in self.group_weights.items()]

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Any:
        parameters = dict(metadata["parameters"])
        if parameters.get("group_weights") is not None:
            parameters["group_weights"] = dict(parameters["group_weights"])
        return super()._loaded(arrays, {**metadata, "parameters": parameters})  # type: ignore[misc]


def _check_groups(given: Any) -> None:
    """Refuse what tells no groups, whatever the data."""
    given = by_name(given)
    if given is None or (isinstance(given, str) and given == "columns"):
        return
    labels: Any = []
    if isinstance(given, Mapping):
        labels = list(given.values()) if all(isinstance(name, str) for name in given) else []
    elif not isinstance(given, str | bytes) and hasattr(given, "__len__"):
        labels = list(given)
    if not labels or not all(_is_label(label) for label in labels):
        raise ValueError(
            'groups must be "columns", a mapping from names of columns to groups, a group for each coefficient, or '
            f"None, where a group is text or a whole number, got {given!r}"
        )


def _is_label(label: Any) -> bool:
    return isinstance(label, str | int | np.integer) and not isinstance(label, bool)


def _is_weight(weight: Any) -> bool:
    return bool(is_number(weight) and 0 <= weight <= LARGEST)


def _plain(label: Any) -> Label:
    return str(label) if isinstance(label, str) else int(label)


def _numbers(given: Any, features: Features) -> tuple[Array, list[Any]]:
    """The number of each column's group, (p,), and the label of each group."""
    names = features.data_names()
    sizes = [1] * features.numeric + [len(levels) for levels in features.levels]
    own = np.repeat(np.arange(len(names)), sizes)
    if isinstance(given, str):
        return own, names
    if isinstance(given, Mapping):
        labels = list(dict.fromkeys(given.values()))
        told = {name: float(labels.index(label)) for name, label in given.items()}
        values = per_column("groups", told, features, np.nan)
        return np.where(np.isnan(values), own + len(labels), np.nan_to_num(values)).astype(np.int64), labels + names
    if len(given) != features.size:
        raise DataError(
            f"groups has {len(given)} labels and the fit {features.size} coefficients, "
            f"{shortened(features.names_out())}: give one for each, or a mapping from names"
        )
    labels = list(dict.fromkeys(list(given)))
    return np.array([labels.index(label) for label in given]), labels
