"""The faults: which line would be wrong, and which tests must fail then."""

from typing import NamedTuple


class Survivor(NamedTuple):
    """A fault.

    Parameters
    ----------
    name : str
        What it is called here and in reports.
    file : str
        Below `src/fullbatch`.
    old, new : str
        What is replaced; it must be there once.
    tests : tuple of str
        Below `tests`, as pytest takes them.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def compiles(self) -> bool:
        """Whether kernels are compiled anew for it."""
        return self.file.startswith("kernels/") or self.file == "protocols/sampling.py"


_FORMULA = ("models/test_formula.py",)
_OPTIONS = ("cli/test_options.py",)
_FINGERPRINT = ("run/test_fingerprint.py",)
_RULES = ("solvers/test_rules.py",)
_LOCKSTEP = ("run/test_driver.py::test_lockstep_ends_each_run_as_if_it_were_alone",)

SURVIVORS = (
    # --- wrong results, wrong data accepted, promises broken --------------------------------------------------------
    Survivor(
        "DA26",
        "data/table.py",
        "codes = [np.searchsorted(levels, column.levels).astype(np.int32)[column.codes] for column in columns]",
        "codes = [column.codes for column in columns]",
        _FORMULA,
    ),
    Survivor(
        "X-class-weights",
        "protocols/schema.py",
        "None if self.labels is None or other.labels is None else self.labels + other.labels,",
        "None if self.labels is None or other.labels is None else replace(\n"
        "                self.labels + other.labels, weight=np.ones(len((self.labels + other.labels).values))\n"
        "            ),",
        (*_FORMULA, "models/test_linear.py::test_contract"),
    ),
    Survivor(
        "M7",
        "models/_linear_block.py",
        "y - (rows.offset[:, None] if rows.offset.size else 0.0) - target",
        "y - target",
        _FORMULA,
    ),
    Survivor(
        "SV6",
        "saving/archive.py",
        "            dtype.kind not in _KINDS\n            or not dtype.itemsize",
        "            not dtype.itemsize",
        ("saving/test_attacks.py::test_objects_in_a_file_are_refused_unread",),
    ),
    Survivor(
        "M15",
        "models/_linear_block.py",
        "coupling = curvature * np.sqrt(_reciprocal(self._rows.weight)) if",
        "coupling = curvature if",
        _FORMULA,
    ),
    Survivor(
        "D4",
        "run/driver.py",
        "self.stop_reason = answer if isinstance(answer, str) else Status.STOPPED.message",
        "self.stop_reason = answer if isinstance(answer, str) else Status.STOPPED.message\n                break",
        ("run/test_driver.py::test_every_callback_is_called_where_one_of_them_stops",),
    ),
    Survivor(
        "D9",
        "run/driver.py",
        "            self.objective.num_sampled_passes - self.first_sampled,",
        "            self.objective.num_sampled_passes,",
        ("run/test_driver.py::test_a_second_run_counts_its_own_passes_only",),
    ),
    Survivor("CL3b", "cli/fit.py", "fit_intercept=intercept,", "fit_intercept=True,", _OPTIONS),
    Survivor("CL3c", "cli/fit.py", "standardize=standardize,", "standardize=False,", _OPTIONS),
    Survivor("CL3d", "cli/fit.py", 'class_weight="balanced" if balanced else None', "class_weight=None", _OPTIONS),
    Survivor(
        "CL3e",
        "cli/fit.py",
        "make_engine(engine.value, workers, memory, max_failures)",
        "make_engine(engine.value, workers, memory)",
        _OPTIONS,
    ),
    Survivor("CL3h", "cli/_data.py", '"weight": self.weight,', '"weight": None,', _OPTIONS),
    Survivor("CL5", "cli/_data.py", '"quoted": False if self.no_quotes else None,', '"quoted": None,', _OPTIONS),
    Survivor("CL6", "cli/_data.py", '"features": split(self.features),', '"features": None,', _OPTIONS),
    Survivor(
        "CL9",
        "cli/_told_of_fit.py",
        "result.grad_norm / result.first_grad_norm if result.first_grad_norm else 0.0",
        "result.grad_norm",
        _OPTIONS,
    ),
    Survivor(
        "CL12",
        "cli/apply.py",
        "refuse_overwriting(output, model, [] if is_mnist(data) else data)",
        "refuse_overwriting(output, Path(data[0]), [] if is_mnist(data) else data)",
        _OPTIONS,
    ),
    Survivor("CL13", "cli/path.py", "engine=engine, **of_columns", "engine=engine", _OPTIONS),
    Survivor("CL14", "cli/_sources.py", '"unknown": files.unknown or "error",', '"unknown": "error",', _OPTIONS),
    Survivor("CL15", "cli/_sources.py", "or files.missing_indicator or kind", "or kind", _OPTIONS),
    Survivor(
        "ES3b",
        "estimators/_regression.py",
        '"mean_deviance": 2.0 * half_deviance / tally.weight',
        '"mean_deviance": half_deviance / tally.weight',
        ("estimators/test_glm.py::test_measures_against_scikit_learn",),
    ),
    Survivor(
        "ES9b",
        "estimators/_classifier.py",
        "super()._continues(schema, outputs) and np.array_equal(self.classes_, schema.classes)",
        "super()._continues(schema, outputs)",
        ("estimators/test_logistic.py::test_warm_start",),
    ),
    Survivor(
        "DA22",
        "protocols/schema.py",
        "if not np.isfinite(moments.weight):",
        "if np.isnan(moments.weight):",
        ("models/test_linear.py::test_bad_data_is_named_before_the_first_pass",),
    ),
    Survivor(
        "DA14b",
        "data/npy.py",
        "if not np.isfinite(scale):",
        "if np.isnan(scale):",
        ("data/test_npy.py::test_a_scale_that_is_not_finite_is_refused",),
    ),
    Survivor(
        "DA18",
        "data/arrays.py",
        "if not np.isfinite(scale):",
        "if np.isnan(scale):",
        ("data/test_arrays.py::test_a_scale_that_is_not_finite_is_refused",),
    ),
    Survivor(
        "DA17b",
        "data/text_tables.py",
        "target if target is not None and target not in told and",
        "target if target is not None and",
        ("data/test_csv.py::test_the_type_that_is_told_of_a_target_is_kept",),
    ),
    Survivor(
        "DA6d",
        "data/_lines.py",
        "if len(rest) > LONGEST_ROW:",
        "if False:",
        ("data/test_csv.py::test_an_open_quotation_mark_is_told_without_reading_to_the_end",),
    ),
    Survivor(
        "E11",
        "engines/_worker.py",
        "if rows.X.shape[0] != schema.block_rows[index]:",
        "if rows.X.shape[0] < schema.block_rows[index]:",
        ("engines/test_local.py",),
    ),
    Survivor(
        "C10",
        "run/fingerprint.py",
        '            "weights of the classes": np.zeros(0) if schema.class_weight is None else schema.class_weight,\n',
        "",
        _FINGERPRINT,
    ),
    Survivor(
        "C10c",
        "run/fingerprint.py",
        '            "levels of the categorical columns": _digest(*features.levels),\n',
        "",
        _FINGERPRINT,
    ),
    Survivor(
        "C10d", "run/fingerprint.py", '            "scale of the variables": _scale(objective),\n', "", _FINGERPRINT
    ),
    Survivor("C10e", "run/fingerprint.py", '            "offsets": schema.offset,\n', "", _FINGERPRINT),
    Survivor("C10f", "run/fingerprint.py", '            "rows that count": repr(objective.draw),\n', "", _FINGERPRINT),
    Survivor(
        "C4b",
        "run/checkpoints.py",
        "(1.0 if ValueGrad in solver.requests else 1e4)",
        "1e4",
        ("run/test_checkpoints.py::test_targets_that_differ_by_little_are_told_by_f",),
    ),
    Survivor(
        "C8",
        "run/checkpoints.py",
        "if not differences and kind not in self._kinds:",
        "if False:",
        ("run/test_checkpoints.py::test_a_state_of_another_kind_is_of_another_run",),
    ),
    Survivor(
        "C9",
        "run/checkpoints.py",
        "self._last, self._saved, self._when = number, state, time.monotonic()",
        "self._last, self._saved = number, state",
        ("run/test_checkpoints.py::test_one_checkpoint_for_each_interval",),
    ),
    # --- rules of the solvers ---------------------------------------------------------------------------------------
    Survivor("X-at-rest", "solvers/descent.py", "at_rest = stalled >= PATIENCE and", "at_rest = False and", _RULES),
    Survivor(
        "S1",
        "solvers/descent.py",
        "stalled = 0 if length < 0.9 * state.best_norm else",
        "stalled = 0 if length < state.best_norm else",
        _RULES,
    ),
    Survivor(
        "S2",
        "solvers/descent.py",
        "best_norm=min(length, state.best_norm)",
        "best_norm=max(length, state.best_norm)",
        _RULES,
    ),
    Survivor("S10", "solvers/lbfgs.py", "        steps, changes = (), ()\n", "", _RULES),
    Survivor(
        "S11",
        "solvers/lbfgs.py",
        "fallbacks = [along_gradient(state.grad)] if state.steps else []",
        "fallbacks = []",
        _RULES,
    ),
    Survivor(
        "S6b",
        "solvers/lbfgs.py",
        "relative_decrease(state, max(WINDOW, state.iteration // 10), self.facts)",
        "relative_decrease(state, WINDOW, self.facts)",
        _RULES,
    ),
    Survivor(
        "S7",
        "solvers/_line_search.py",
        "(not_above and slope <= (2 * self.delta - 1) * slope0)",
        "not_above",
        _RULES,
    ),
    # Relatives of those above.
    Survivor(
        "R1",
        "solvers/sampled.py",
        "    if inverse is not None:\n        yield -inverse(state.grad[None])[0]\n",
        "",
        _RULES,
    ),
    Survivor(
        "R2",
        "solvers/sampled.py",
        "        yield -inverse(state.grad[None])[0]\n    yield along_gradient(state.grad)\n",
        "        yield -inverse(state.grad[None])[0]\n",
        _RULES,
    ),
    Survivor(
        "R3",
        "solvers/sampled.py",
        "return state.iteration - state.built_iteration >= least and moved > FAR",
        "return moved > FAR",
        _RULES,
    ),
    Survivor(
        "R5",
        "solvers/newton_cg.py",
        "search(state, [state.direction, along_gradient(state.grad)], noise, self.facts)",
        "search(state, [state.direction], noise, self.facts)",
        _RULES,
    ),
    Survivor("R6", "solvers/newton_cg.py", "np.isfinite(curvature) and curvature > 0", "curvature != 0", _RULES),
    Survivor(
        "R7",
        "solvers/descent.py",
        "rounding = max(10 * noise * abs(state.value), 1e-15 * fallen)",
        "rounding = 0.0",
        _RULES,
    ),
    Survivor(
        "R8",
        "solvers/descent.py",
        "fallen = min(state.first_value - state.value, FAR_START**4 * abs(state.value))",
        "fallen = state.first_value - state.value",
        _RULES,
    ),
    Survivor(
        "R9",
        "solvers/descent.py",
        "values[-PATIENCE - 1] - point.value <= noise * abs(point.value)",
        "True",
        _RULES,
    ),
    Survivor(
        "R10",
        "solvers/sampled.py",
        "max(WINDOW if shown else PLAIN_WINDOW, state.iteration // 10)",
        "(WINDOW if shown else PLAIN_WINDOW)",
        _RULES,
    ),
    Survivor("R11", "models/_null.py", "else schema.class_weight * factors", "else schema.class_weight", _FORMULA),
    Survivor("R12", "models/_null.py", "else _EXPLAINED_BY_OFFSETS * deviance", "else deviance", _FORMULA),
    Survivor("R13", "models/_null.py", "            self.sums + other.sums,", "            self.sums,", _FORMULA),
    Survivor("R14", "run/lockstep.py", "state.iteration < max_iter", "state.iteration <= max_iter", _LOCKSTEP),
    Survivor("R15", "run/lockstep.py", "solver.optimality(state) > tol", "solver.optimality(state) >= tol", _LOCKSTEP),
    Survivor("R16", "run/fingerprint.py", "_ROUNDING = 1e-9", "_ROUNDING = 1e-6", _FINGERPRINT),
    Survivor("R17", "run/fingerprint.py", "_ROUNDING = 1e-9", "_ROUNDING = 0.0", _FINGERPRINT),
    Survivor(
        "R18",
        "estimators/logistic.py",
        "            theta[-1] = schema.null.moments.mean[0]",
        "            pass",
        ("estimators/test_logistic.py::test_two_classes_begin_where_the_offsets_are_made_up_for",),
    ),
    Survivor(
        "R19",
        "run/saved.py",
        '    if arrays["values"][-1] != arrays["value"]:\n        return "value", "is not the last of values"\n',
        "",
        ("saving/test_attacks.py::test_a_state_that_contradicts_itself_is_refused",),
    ),
    Survivor(
        "R20",
        "run/checkpoints.py",
        "    return allowed + noise * columns *",
        "    return allowed + 0.0 * columns *",
        ("run/test_checkpoints.py::test_a_gradient_that_is_nothing_but_rounding_is_no_other_one",),
    ),
    Survivor(
        "R21",
        "models/_linear_block.py",
        "                return self.in_double.evaluate(request)",
        "                pass",
        ("models/test_linear.py::test_float32_rows_have_float64_products_where_that_is_asked_for",),
    ),
    Survivor("R22", "solvers/_whole_hessian.py", "promised <= 10.0 * rounding", "True", _RULES),
    Survivor(
        "S18b",
        "solvers/ridge_path.py",
        "np.isfinite(part.R).all() and part.condition <= ILL_CONDITIONED for part in parts",
        "np.isfinite(part.R).all() for part in parts",
        ("solvers/test_least_squares.py::test_a_path_of_ill_conditioned_columns_takes_a_second_pass",),
    ),
    Survivor(
        "S21",
        "solvers/ridge_path.py",
        "s = np.where(s > ROUNDINGS * EPS * rounding, s, 0.0)",
        "s = np.where(s > 0, s, 0.0)",
        ("solvers/test_least_squares.py::test_a_path_is_what_single_fits_are",),
    ),
    Survivor(
        "S22",
        "solvers/sampled.py",
        "state.builds >= self.most_builds",
        "state.builds > self.most_builds",
        _RULES,
    ),
    Survivor(
        "S26b",
        "solvers/scipy_.py",
        "lambda x: start if np.array_equal(x, theta) else evaluate(x),",
        "evaluate,",
        _RULES,
    ),
    Survivor(
        "S29",
        "solvers/preconditioners.py",
        "factor[kept] * (factor.sum() / factor[kept].sum())",
        "factor[kept]",
        _RULES,
    ),
    Survivor(
        "O7",
        "objective/objective.py",
        "        return mean, beyond - mean",
        "        return mean, beyond",
        ("objective/test_objective.py::test_squares_of_the_columns_are_those_of_the_solver",),
    ),
    Survivor(
        "M10",
        "models/_stored.py",
        "Category(self.codes[taken, c] - first[c], one)",
        "Category(np.minimum(self.codes[taken, c], len(one) - 1), one)",
        _FORMULA,
    ),
    Survivor(
        "M11",
        "models/_linear_block.py",
        "offset = rows.offset[taken] if rows.offset.size else None\n        categories",
        "offset = None\n        categories",
        _FORMULA,
    ),
    Survivor(
        "M12",
        "models/_linear_block.py",
        "offset = None if self._offset is None else self._rows.offset[taken]",
        "offset = None",
        _FORMULA,
    ),
    Survivor(
        "D1",
        "run/driver.py",
        "if optimality <= self.tol or state.failure:",
        "if optimality < self.tol or state.failure:",
        ("run/test_driver.py::test_an_optimality_of_exactly_tol_is_enough",),
    ),
    Survivor(
        "D2",
        "run/driver.py",
        "            if optimality <= self.tol or state.failure:",
        "            if stop:\n"
        "                return (yield from self._result(Status.STOPPED))\n"
        "            if optimality <= self.tol or state.failure:",
        ("run/test_driver.py::test_a_callback_that_stops_where_the_run_has_converged",),
    ),
    Survivor(
        "M13",
        "models/_linear_block.py",
        'weight[[draw.form == "all" for draw in draws]] = self._total  # to the bit as when nothing is drawn',
        "pass",
        ("kernels/test_draws.py::test_all_rows_drawn_weigh_what_they_weigh_undrawn",),
    ),
    Survivor(
        "M14b",
        "models/_linear_block.py",
        "return max(1, _TABLE_NUMBERS // (2 * self._outputs * width))",
        "return 10**9",
        ("kernels/test_edges.py::test_many_models_of_sparse_rows_share_tables_of_a_bounded_size",),
    ),
    Survivor(
        "DA28",
        "data/chosen_columns.py",
        'if name is not None and arrow.kind(types[name]) not in ("number", "null"):',
        "if False:",
        ("data/test_tables.py::test_wrong_options",),
    ),
    # --- engines, memory, diagnostics -------------------------------------------------------------------------------
    Survivor(
        "DA10",
        "data/parts.py",
        "if decoded.rows_left <= 0:",
        "if decoded.rows_left < 0:",
        ("data/test_parquet.py::test_parts_are_dropped_once_their_rows_were_read",),
    ),
    Survivor(
        "DA10b",
        "data/parts.py",
        "while len(self._kept) > _KEPT:",
        "while False:",
        ("data/test_parquet.py::test_parts_are_dropped_once_their_rows_were_read",),
    ),
    Survivor(
        "E1",
        "engines/local.py",
        "if len(waiting) > self.num_threads:",
        "if len(waiting) > 10**6:",
        ("engines/test_local.py",),
    ),
    Survivor(
        "E2",
        "engines/local.py",
        "                for future in waiting:\n                    future.cancel()\n",
        "",
        ("engines/test_local.py",),
    ),
    Survivor(
        "E3",
        "engines/local.py",
        "        except BaseException:\n            self.close()\n            raise",
        "        except BaseException:\n            raise",
        ("engines/test_local.py",),
    ),
    Survivor(
        "E10",
        "engines/_worker.py",
        "                        for _ in waiting:  # nothing more is begun\n                            pass\n",
        "",
        ("engines/test_local.py",),
    ),
    Survivor("E7", "engines/_worker.py", "first = min(errors)", "first = max(errors)", ("engines/test_local.py",)),
    Survivor(
        "E9",
        "engines/_worker.py",
        "frozenset.intersection(*(one.answers for one in built)),",
        "built[0].answers,",
        ("engines/test_local.py",),
    ),
    Survivor(
        "E6c",
        "engines/_supervisor.py",
        "        self._received += sum(nbytes(part.value) for share in answers for part in share)\n",
        "",
        ("engines/test_supervisor.py::test_bytes_sent_and_received",),
    ),
    Survivor(
        "E6e",
        "engines/_supervisor.py",
        "if member.slow > 1:  # once is chance, such as compiling",
        "if member.slow > 0:",
        ("engines/test_supervisor.py::test_one_slow_pass_is_chance_and_waste_is_counted_anew_after_a_relief",),
    ),
    Survivor(
        "E6f",
        "engines/_supervisor.py",
        "                member.waste = 0.0\n",
        "",
        ("engines/test_supervisor.py::test_one_slow_pass_is_chance_and_waste_is_counted_anew_after_a_relief",),
    ),
    # --- kernels: compiled anew, so last ----------------------------------------------------------------------------
    Survivor(
        "K4",
        "kernels/passes.py",
        "eta[0, i] * eta[0, i] / (2.0 * value)",
        "eta[0, i] * eta[0, i] / value",
        ("models/test_formula.py::test_rows_in_the_tails_of_huber_have_the_curvature_of_a_parabola",),
    ),
)

# Those that are no faults any more, or never were, and why.
GONE = {
    "S14": "Newton's direction was rewritten: values below zero count as 0 (`Curved.direction`), and are not mirrored",
    "CE2": "the certificate of an optimum at infinity is a notice now, which tries a point far out (`notices.py`)",
    "SV1": "the line was never reached, as the length of a member is compared with its array's before: it is gone",
    "S8b": "equivalent, a slope that is finite implies such a gradient: the check is gone",
}
