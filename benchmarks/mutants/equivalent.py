"""Faults that no test can notice, or none should, each with its reason: the report counts them apart."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .places import Mutant


class Equivalent(NamedTuple):
    """A fault that changes nothing that anyone is promised.

    Parameters
    ----------
    file : str
        Below `src/fullbatch`.
    old, new : str
        The lines that differ, without what they are indented by.
    reason : str
        Why it is not noticed.
    """

    file: str
    old: str
    new: str
    reason: str


EQUIVALENT = (
    Equivalent(
        "models/_plain.py",
        "_FEW_PRODUCTS = 2**15",
        "_FEW_PRODUCTS = 2/15",
        "which of two ways to the same product is taken: how quick it is, and last digits",
    ),
    Equivalent(
        "estimators/keras_.py",
        'asked_for(self.model, "model", n_features=1, n_outputs=1)  # refuses what needs more',
        'asked_for(self.model, "model", n_features= 0, n_outputs=1)  # refuses what needs more',
        "the names of what is there to be asked for are looked at, not what they stand for",
    ),
    Equivalent(
        "models/linear.py",
        'raise DataError(f"class_weight names {unknown[0]!r}, which is not a class: the classes are {known}")',
        'raise DataError(f"class_weight names {unknown[ -1]!r}, which is not a class: the classes are {known}")',
        "which of several wrong names is told",
    ),
    Equivalent(
        "models/torch_.py",
        "chunk_rows: int = 2048",
        "chunk_rows: int = 2049",
        "how many rows pass at a time: how much memory that takes, and last digits",
    ),
    Equivalent(
        "data/number_text.py",
        "least = min(map(self._changes, ways), default=0)",
        "least = min(map(self._changes, ways), default= 1)",
        "where there is no way, nothing is compared with it",
    ),
    Equivalent(
        "data/csv_.py",
        "texts = replace(form, types={name: pa.string()}).parse(head, [name], path, 0)[name]",
        "texts = replace(form, types={name: pa.string()}).parse(head, [name], path, -1)[name]",
        "the number of a row that is wrong, of rows that have been read once and are texts now",
    ),
    Equivalent(
        "data/medians.py",
        "chosen, left = [], 0.0",
        "chosen, left = [], -1.0",
        "whether two or three reads find the same numbers",
    ),
    Equivalent(
        "data/ipc.py",
        "nbytes = rows * fixed // 8 + share * rows // self.rows",
        "nbytes = rows * fixed // 8 + share * rows / self.rows",
        "a fraction of a byte of an estimate",
    ),
    Equivalent(
        "data/chosen_columns.py",
        "for count, schema, file in zip(counts, schemas, files, strict=True):",
        "for count, schema, file in zip(counts, schemas, files, strict=False):",
        "counts are made of the schemas, and each file has one",
    ),
    Equivalent(
        "data/design_.py",
        "named = zip(rows.names[rows.X.shape[1] :], rows.categories, strict=True)",
        "named = zip(rows.names[rows.X.shape[1] :], rows.categories, strict=False)",
        "there is a name for each column: strict guards against slips of who writes sources",
    ),
    Equivalent(
        "data/json_format.py",
        "reads(row, row + 1)",
        "reads(row, row + 2)",
        "of two rows Arrow tells the first that it cannot parse; other errors are told by the value",
    ),
    Equivalent(
        "data/unpacked.py",
        "def seek(self, place: int, whence: int = 0) -> int:",
        "def seek(self, place: int, whence: int = -1) -> int:",
        "whatever is neither 1 nor 2 is from the beginning",
    ),
    Equivalent(
        "estimators/ridge_cv.py",
        'f"cv=None takes sums of products of {schema.n_features} columns, {needed / 1e6:.3g} MB: give a number "',
        'f"cv=None takes sums of products of {schema.n_features} columns, {needed / 1000001.0:.3g} MB: give a number "',
        "three digits of megabytes are told",
    ),
    Equivalent(
        "estimators/_network_kinds.py",
        "explained = [one.explained([square])[0] for one, square in zip(spreads, squares.tolist(), strict=True)]",
        "explained = [one.explained([square])[0] for one, square in zip(spreads, squares.tolist(), strict=False)]",
        "there is a spread and a sum of squares for each target",
    ),
    Equivalent(
        "models/ordinal.py",
        "taken: Any = slice(None) if request is None or request.fraction == 1 else self._taken(request)",
        "taken: Any = slice(None) if request is None or request.fraction == 2 else self._taken(request)",
        "all uniform numbers are below 1: the same rows, by another way",
    ),
    Equivalent(
        "models/torch_.py",
        "slope = sum((grad * part.detach()).sum() for grad, part in zip(grads, v, strict=True))",
        "slope = sum((grad * part.detach()).sum() for grad, part in zip(grads, v, strict=False))",
        "gradients and directions are of the same parameters",
    ),
    Equivalent(
        "data/medians.py",
        "_SHIFTS, _FEW = (42, 21, 0), 2**16",
        "_SHIFTS, _FEW = (42, 21, 0), 2** 15",
        "whether two or three reads find the same numbers",
    ),
    Equivalent(
        "data/parts.py",
        "_KEPT = 2 * (os.cpu_count() or 1) + 1",
        "_KEPT = 2 * (os.cpu_count() or 1) + 0",
        "how many decoded parts are kept: memory, and how often one is decoded anew",
    ),
    Equivalent(
        "models/_plain.py",
        "X = np.where(counts[:, None], X, X.dtype.type(0))",
        "X = np.where(counts[:, None], X, X.dtype.type( -1))",
        "in rows of no weight any number that is finite counts for nothing",
    ),
    Equivalent(
        "data/npz.py",
        "_CHUNK = 2**20",
        "_CHUNK = 2** 21",
        "how much is unpacked at a time: memory and speed",
    ),
    Equivalent(
        "data/cut.py",
        "ENOUGH_BLOCKS, USUAL_BLOCKS = 16, 64",
        "ENOUGH_BLOCKS, USUAL_BLOCKS = 17, 64",
        "the number of blocks becomes a power of two: of 17, 16",
    ),
    Equivalent(
        "data/npy.py",
        "rows = sum(header.shape[0] for header in headers)",
        "rows = sum(header.shape[ -1] for header in headers)",
        "of one dimension the first is the last",
    ),
    Equivalent(
        "engines/_worker.py",
        "first = built[0].parameters",
        "first = built[ -1].parameters",
        "blocks of one model: what may differ among them is agreed on beside",
    ),
    Equivalent(
        "models/_null.py",
        "return bool(loss.family == POWER and loss.link == LOG and loss.power > 2.0)",
        "return bool(loss.family == POWER and loss.link == LOG and loss.power >= 2.0)",
        "of power 2 with the logarithmic link there is a loss of its own, Gamma",
    ),
    Equivalent(
        "data/missing.py",
        "values |= dict(zip(halved, middle, strict=True))",
        "values |= dict(zip(halved, middle, strict=False))",
        "there is a median for each column that asks for one",
    ),
    Equivalent(
        "run/notices.py",
        "for step in (10.0 * way / size, -10.0 * way / size):",
        "for step in (10.0 * way / size, - 11.0 * way / size):",
        "how far a direction is followed that changes no prediction at any distance",
    ),
    Equivalent(
        "run/callbacks.py",
        "_next: float = field(default=0.0, init=False, repr=False)",
        "_next: float = field(default= -1.0, init=False, repr=False)",
        "the first iterate of a run sets it before it is read",
    ),
    Equivalent(
        "run/feasible.py",
        "if there < value:",
        "if there <= value:",
        "of two places where the loss is the same either will do to go on from",
    ),
    Equivalent(
        "run/together.py",
        "seed: int = 0",
        "seed: int = 1",
        "whoever deals folds says by which seed; the one part of all rows is the same by any",
    ),
    Equivalent(
        "run/together.py",
        "theta if self.shares else np.zeros(0), answer.value[:, 0],",
        "theta if self.shares else np.zeros(0), answer.value[:, -1],",
        "the answer is to a single theta: its first and last are one",
    ),
    Equivalent(
        "models/_coefficients.py",
        "if self.scale != 1.0:",
        "if self.scale != 0.0:",
        "a product with 1 changes no bit: what is saved is a copy",
    ),
    Equivalent(
        "models/jax_.py",
        "if count < rows:",
        "if count <= rows:",
        "a chunk that is full is filled up with nothing: what is saved is a copy",
    ),
    Equivalent(
        "run/replicates.py",
        "groups = int(min(_GROUPS, max(objective.blocks.schema.n_rows // 2, 2)))",
        "groups = int(min(_GROUPS, max(objective.blocks.schema.n_rows / 2, 2)))",
        "int() rounds down as // does",
    ),
    Equivalent(
        "solvers/low_rank.py",
        "damping = found.penalty[found.flat :].mean(axis=0) / shares.max()",
        "damping = found.penalty[found.flat :].mean(axis=0) * shares.max()",
        "which directions a preconditioner finds: their scale is taken out again",
    ),
    Equivalent(
        "solvers/low_rank.py",
        "each = -(-count // THREADS) if width <= _NARROW else _AT_A_TIME",
        "each = -(-count // THREADS) if width < _NARROW else _AT_A_TIME",
        "how many columns are made at a time at one width: memory and speed",
    ),
    Equivalent(
        "solvers/newton.py",
        "if after.damping <= state.damping or after.crossings >= _MOST_CROSSINGS or self._width(after) <= 1.0:",
        "if after.damping <= state.damping or after.crossings > _MOST_CROSSINGS or self._width(after) <= 1.0:",
        "whether straight stretches are crossed four times or five",
    ),
    Equivalent(
        "solvers/newton.py",
        "theta = state.theta + step if point.value < state.value else state.theta",
        "theta = state.theta + step if point.value <= state.value else state.theta",
        "of two places where F is the same either will do to go on from",
    ),
    Equivalent(
        "solvers/newton.py",
        "if curved is None or not state.left <= NEAR * scale:",
        "if curved is None or not state.left < NEAR * scale:",
        "a share of F that is met to the last bit; where nothing is left of nothing, F itself tells that it is the end",
    ),
    Equivalent(
        "solvers/newton.py",
        "while width > 1.0:",
        "while width > 2.0:",
        "where a crossing ends that Newton's own steps go on from: how many passes it takes",
    ),
    Equivalent(
        "solvers/_design.py",
        "return round(4 * stored) + curvature  # also by column, and scaled",
        "return round(4 * stored) + curvature - 1  # also by column, and scaled",
        "an estimate of memory, of which this byte is no part that counts",
    ),
    Equivalent(
        "solvers/preconditioners.py",
        "if count > len(factor) // 2 or not total[-1] > 0:",
        "if count >= len(factor) // 2 or not total[-1] > 0:",
        "whether just half of the rows are copied or all taken: what a preconditioner costs",
    ),
    Equivalent(
        "objective/design.py",
        "slopes = slopes.astype(self.dtype, copy=False)",
        "slopes = slopes.astype(self.dtype, copy=True)",
        "a copy more: speed",
    ),
    Equivalent(
        "solvers/_whole_hessian.py",
        "NARROWER, STEPS, CLOSE, WIDEST = 4.0, 30, 1e-6, 1e12",
        "NARROWER, STEPS, CLOSE, WIDEST = 5.0, 30, 1e-6, 1e12",
        "in steps of which factor a loss becomes narrower: how many passes a crossing takes",
    ),
    Equivalent(
        "solvers/proximal.py",
        "if inner.left <= CLOSE * (inner.value - self._facts.least):",
        "if inner.left < CLOSE * (inner.value - self._facts.least):",
        "a share of F that is met to the last bit, or nothing left of nothing: one more step of a search",
    ),
    Equivalent(
        "solvers/proximal.py",
        "return self._latest[-1][0].blurred if self._latest else None",
        "return self._latest[- 0][0].blurred if self._latest else None",
        "the list holds one model at the most",
    ),
    Equivalent(
        "solvers/owlqn.py",
        "rounding = 10.0 * noise * abs(state.value)",
        "rounding = 9.0 * noise * abs(state.value)",
        "in multiples of a rounding that is known by its order alone",
    ),
    Equivalent(
        "solvers/working_set.py",
        "_FIRST, _TIMES, _NEAR = 100, 1.0, 0.8",
        "_FIRST, _TIMES, _NEAR = 100, 0.0, 0.8",
        "how many columns are tried beside those in use: how many passes a run takes, and how large they are",
    ),
    Equivalent(
        "run/gradient_check.py",
        '_PRECISIONS = {"float64": (1e-4, 1e-14, 1e-4), "float32": (1e-1, 1e-8, 3e-2)}',
        '_PRECISIONS = {"float64": (1e-4, 1e-14, 1e-4), "float32": ( 1.1, 1e-8, 3e-2)}',
        "how large the first of four steps is, the next of which is about as large as it was",
    ),
    Equivalent(
        "run/replicates.py",
        "return _Shared(rows.ask(theta[None], [0], columns).matrix[0, 0] / rows.weight[0], columns)",
        "return _Shared(rows.ask(theta[None], [0], columns).matrix[-1, 0] / rows.weight[0], columns)",
        "the first of one matrix is the last",
    ),
    Equivalent(
        "run/notices.py",
        "return _spread_over(objective, np.hypot(schema.mean, np.sqrt(schema.variance)), 1.0)",
        "return _spread_over(objective, np.hypot(schema.mean, np.sqrt(schema.variance)), 2.0)",
        "beside how large a part of a direction the intercept's is named",
    ),
    Equivalent(
        "run/together.py",
        'f"all rows with a weight are in fold {empty[0] - 1}, so that the others have none: choose another seed"',
        'f"all rows with a weight are in fold {empty[ -1] - 1}, so that the others have none: choose another seed"',
        "no more than one fold can have all the weight",
    ),
    Equivalent(
        "run/_shared_fit.py",
        "allowed = rounding if promised <= 10.0 * rounding else 0.0",
        "allowed = rounding if promised <= 11.0 * rounding else 0.0",
        "in multiples of a rounding that is known by its order alone",
    ),
    Equivalent(
        "solvers/_line_search.py",
        "return min(max(-slope0 / rise, 2.0), 100.0) if rise > 0 else 100.0",
        "return min(max(-slope0 / rise, 2.0), 101.0) if rise > 0 else 100.0",
        "how much longer a step becomes at the most: how many trials a search takes",
    ),
    Equivalent(
        "run/_shared_fit.py",
        "_MOST_READS = 16",
        "_MOST_READS = 17",
        "after how many reads a fit goes on by itself",
    ),
    Equivalent(
        "run/notices.py",
        "back = (yield from F(theta - way)) > state.value + 1e-9 * facts.parameters.null",
        "back = (yield from F(theta - way)) >= state.value + 1e-9 * facts.parameters.null",
        "a threshold that is met to the last bit",
    ),
    Equivalent(
        "run/together.py",
        "@dataclass(eq=False)",
        "@dataclass(eq=True)",
        "nobody compares two of them",
    ),
    Equivalent(
        "estimators/_template.py",
        "told = [(one, place) for some, place in zip(notices, places, strict=True) "
        "for one in some if one.code == code]",
        "told = [(one, place) for some, place in zip(notices, places, strict=False) "
        "for one in some if one.code == code]",
        "there is a place for each fit: strict guards against slips of who writes code",
    ),
    Equivalent(
        "objective/groups.py",
        "there[(penalty.l1 > 0) & (there * here < 0)] = 0.0",
        "there[(penalty.l1 > 0) & (there / here < 0)] = 0.0",
        "products and quotients have the same sign, and no coordinate of a face is 0",
    ),
    Equivalent(
        "objective/groups.py",
        "x = x + float(room.min()) * (to - x)",
        "x = x + float(room.min()) * (to + x)",
        "where a search for signs goes on from: it ends at the same minimum",
    ),
    Equivalent(
        "objective/groups.py",
        "away = drawn * ((1.0 - self.l21 / norm(drawn)) / self.values[-1])  # lower than 0",
        "away = drawn * ((1.0 - self.l21 / norm(drawn)) * self.values[-1])  # lower than 0",
        "where a search for signs begins: it ends at the same minimum",
    ),
    Equivalent(
        "objective/proximal.py",
        "if float(np.abs(off).max()) <= rounding or (number and 0.5 * float(off @ off) <= _LEFT * fallen):",
        "if float(np.abs(off).max()) < rounding or (number and 0.5 * float(off @ off) <= _LEFT * fallen):",
        "a rounding that is met to the last bit; where both are 0, one more turn, of no step",
    ),
    Equivalent(
        "objective/proximal.py",
        "if share >= 1.0:",
        "if share > 1.0:",
        "a minimum that is at a bound to the last bit is found by another turn, of no step",
    ),
    Equivalent(
        "run/notices.py",
        "back = (yield from F(theta - way)) > state.value + 1e-9 * facts.parameters.null",
        "back = (yield from F(theta - way)) > state.value + 1e-9 / facts.parameters.null",
        "a threshold that F exceeds by far on the way back from infinity",
    ),
    Equivalent(
        "data/digest.py",
        "_CHUNK = 2**20",
        "_CHUNK = 2*20",
        "how much is read at a time: how quick it is, the digest is the same",
    ),
    Equivalent(
        "run/_group.py",
        "for place, (row, some) in enumerate(zip(curved, asking, strict=True)):",
        "for place, (row, some) in enumerate(zip(curved, asking, strict=False)):",
        "both are made of the same strengths: strict guards against slips of who writes code",
    ),
    Equivalent(
        "models/warm_up.py",
        'return model.build(rows, Schema.of(model.describe(rows, "no data")), 0)',
        'return model.build(rows, Schema.of(model.describe(rows, "no data")), 1)',
        "the number of the first of some rows whose answers nobody looks at: they are there to be compiled for",
    ),
    Equivalent(
        "models/ordinal.py",
        "if request.fraction < 1:",
        "if request.fraction <= 1:",
        "all uniform numbers are below 1: the same rows, whose weights are added anew",
    ),
    Equivalent(
        "solvers/ridge_path.py",
        "if all(np.isfinite(part.R).all() and part.condition <= ILL_CONDITIONED for part in parts):",
        "if all(np.isfinite(part.R).all() and part.condition < ILL_CONDITIONED for part in parts):",
        "a threshold that is met to the last bit",
    ),
    Equivalent(
        "solvers/proximal.py",
        "if inner.left <= CLOSE * (inner.value - self._facts.least):",
        "if inner.left <= CLOSE * (inner.value + self._facts.least):",
        "losses with straight stretches, of Huber and of quantiles, are all 0 at the least",
    ),
    Equivalent(
        "estimators/logistic.py",
        "theta[-1] = schema.null.moments.mean[0]  # of target less offset, the targets counting as zeros",
        "theta[-1] = schema.null.moments.mean[ -1]  # of target less offset, the targets counting as zeros",
        "the moments are those of one column",
    ),
    Equivalent(
        "data/beside.py",
        'return pa.array(values.astype(values.dtype.newbyteorder("="), copy=False), from_pandas=True)',
        'return pa.array(values.astype(values.dtype.newbyteorder("="), copy=True), from_pandas=True)',
        "a copy more: speed",
    ),
    Equivalent(
        "estimators/_predictions.py",
        "found = [describe(targets, str(source), labels=False).problem, bad_offset(rows, str(source))]",
        "found = [describe(targets, str(source), labels=True).problem, bad_offset(rows, str(source))]",
        "the targets are zeros for this, which are right as labels and as numbers",
    ),
    Equivalent(
        "engines/_supervisor.py",
        "self._seconds = [0.0] * len(sources)",
        "self._seconds = [ 1.0] * len(sources)",
        "each block is timed as it is described, before anybody asks",
    ),
    Equivalent(
        "data/unpacked.py",
        "_KEPT = 2**34",
        "_KEPT = 3**34",
        "how much unpacked text is kept: room on the disk, and how often a file is unpacked anew",
    ),
    Equivalent(
        "models/framework.py",
        "noise = np.random.default_rng(0).normal(0, 0.1, self.parameters.size)",
        "noise = np.random.default_rng( 1).normal(0, 0.1, self.parameters.size)",
        "at which place near the start a model is tried out",
    ),
    Equivalent(
        "run/_by_part.py",
        "return total == 0 or bool(part.rest * DOUBTFUL > np.finfo(np.float64).eps * total)",
        "return total == 0 or bool(part.rest * DOUBTFUL >= np.finfo(np.float64).eps * total)",
        "a threshold that is met to the last bit",
    ),
)

_SLIPS = ("frozen=True", "slots=True", "kw_only=True")


def reason(mutant: "Mutant", old: str, new: str) -> str:
    """Why a fault is not to be noticed; empty if it is."""
    if old.startswith("@dataclass(") and (not new or any(slip in old and slip not in new for slip in _SLIPS)) and new:
        return "frozen, slots and kw_only guard against slips of who writes code; nothing that runs depends on them"
    if old.startswith(("@wraps(", "@override", "@abstractmethod", "@runtime_checkable")) and not new:
        return "a decorator for who reads"
    return next((it.reason for it in EQUIVALENT if (it.file, it.old, it.new) == (mutant.file, old, new)), "")
