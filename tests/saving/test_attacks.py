"""Files that were damaged, made to harm, or half written; and secrets that must not show."""

import hashlib
import io
import json
import os
import pickle
import random
import re
import signal
import stat
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from problems import breast_cancer, objective, start
from wrong_contents import packed, wrong_contents

from fullbatch import (
    LBFGS,
    Checkpoint,
    LogisticRegression,
    ModelFileError,
    Newton,
    NewtonCG,
    SampledLBFGS,
    load_model,
    load_state,
    minimize,
)
from fullbatch.errors import DamagedError
from fullbatch.estimators import _KINDS
from fullbatch.run import saved
from fullbatch.run.checkpoints import CheckpointWriter, Spent
from fullbatch.run.fingerprint import Fingerprint
from fullbatch.saving import files
from fullbatch.saving.archive import pack
from fullbatch.saving.contents import Contents
from fullbatch.solvers.lbfgs import LBFGSState

# Files written by the code of an earlier day, in the first format and in the second.
VERSION1, VERSION2 = (Path(__file__).parents[1] / name for name in ("version1", "version2"))
FILES = ["LogisticRegression.fb", "LBFGSState.fb", "run/checkpoint-00000003.fb"]


class Plain(LBFGS):
    """A solver whose options are no part of the fingerprint: checkpoints of it last."""

    def __repr__(self):
        return "Plain()"

    def for_problem(self, facts):
        return self


def loaders(kind, values):
    """What loads a file, and the description of what it may hold."""
    if kind in _KINDS:
        return load_model, _KINDS[kind]._contents()
    described = saved.state_contents(saved.STATES[kind])
    if "spent" not in values:
        return load_state, described
    run = saved.OF_A_RUN
    return load_state, Contents(
        {**described.values, **run.values},
        {**described.members, **run.members},
        described.sizes,
        described.told_by,
        described.agreement,
        described.defaults,
    )


def bits(thing):
    """All that a model or state is, as bytes."""
    values = vars(thing)
    return pickle.dumps({name: value for name, value in values.items() if name not in ("engine", "solver")})


@pytest.fixture(params=FILES)
def small(request, tmp_path):
    """A small file as it is written today: path, and what is in it."""
    kind, arrays, values = files.read(VERSION1 / request.param)
    path = tmp_path / "small.fb"
    files.write(path, kind, arrays, values)
    return path, kind, arrays, values


# --- damage -----------------------------------------------------------------------------------------------------------


def check_damages(path, load, damages):
    """Each damaged file is refused, or loads to the same bits; tells how many were refused."""
    content = path.read_bytes()
    whole, refused = bits(load(path)), 0
    for place, byte in damages:
        path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
        try:
            loaded = load(path)
        except ModelFileError as error:
            refused += str(path) in str(error)
        else:
            assert bits(loaded) == whole, (place, byte)
    return refused


def some_damages(content, seed, number):
    rng = random.Random(seed)
    for _ in range(number):
        place = rng.randrange(len(content))
        yield place, content[place] ^ rng.randrange(1, 256)


def test_a_damaged_byte_is_noticed(small):
    path, kind, _, values = small
    content = path.read_bytes()
    damages = [(place, content[place] ^ 1 << place % 8) for place in range(0, len(content), 3)]
    assert check_damages(path, loaders(kind, values)[0], damages) == len(damages)


@pytest.mark.slow
def test_any_damaged_byte_is_noticed(small):
    path, kind, _, values = small
    content = path.read_bytes()
    damages = [(place, content[place] ^ 1 << bit) for place in range(len(content)) for bit in range(8)]
    damages += some_damages(content, 0, 20_000)
    assert check_damages(path, loaders(kind, values)[0], damages) == len(damages)
    print(f"{kind}: {len(damages)} damages, all refused")


@pytest.mark.parametrize("name", FILES)
def test_damage_of_a_file_of_version_1_is_noticed_or_harmless(name, tmp_path):
    path = tmp_path / "old.fb"
    path.write_bytes((VERSION1 / name).read_bytes())
    kind, _, values = files.read(path)
    damages = list(some_damages(path.read_bytes(), 1, 1000))
    assert check_damages(path, loaders(kind, values)[0], damages) > 750


def test_cut_and_longer_files_are_refused(small):
    path, kind, _, values = small
    load = loaders(kind, values)[0]
    content = path.read_bytes()
    for changed in [content[:end] for end in range(0, len(content), 61)] + [
        content + b"x",
        b"x" + content,
        content * 2,
    ]:
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match="is damaged"):
            load(path)


# --- wrong contents ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(str(file.relative_to(VERSION1)) for file in VERSION1.rglob("*.fb")))
def test_wrong_contents_are_refused_and_named(name, tmp_path):
    kind, arrays, values = files.read(VERSION1 / name)
    if kind in _KINDS:
        values["fit"] = {"rows": 9, "l2": 0.5, "l1": 0.1, "status": "max_iter"}  # which files have by now
        values["named"] = {"target": "y", "offset": None}
        values["runs"] = []
    load, described = loaders(kind, values)
    path = tmp_path / "wrong.fb"
    path.write_bytes(packed(kind, arrays, values))
    load(path)
    count = 0
    for member, what, wrong_values, wrong_arrays in wrong_contents(described, values, arrays):
        path.write_bytes(packed(kind, wrong_arrays, wrong_values))
        with pytest.raises(ModelFileError, match=f"{re.escape(str(path))}.*{re.escape(member)}"):
            pytest.fail(f"{member} {what} was loaded: {load(path)}")
        count += 1
    assert count > 140


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.update(value=arrays["value"] + 1.0), "value is not the last of values"),
        (lambda arrays: arrays.pop("changes"), "steps must be there where changes are"),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(tmp_path, change, message):
    kind, arrays, values = files.read(VERSION1 / "LBFGSState.fb")
    path = tmp_path / "state.fb"
    path.write_bytes(packed(kind, arrays, values))
    assert load_state(path).steps
    change(arrays)
    path.write_bytes(packed(kind, arrays, values))
    with pytest.raises(DamagedError, match=message):
        load_state(path)


def rezipped(content, **options):
    """The members of an archive, zipped anew in another way."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, member in members:
            archive.writestr(zipfile.ZipInfo(name), member, options.get("compression"))
    return file.getvalue()


def sealed(content):
    """An archive without a comment, with the SHA-256 that it must end in."""
    content = content[:-2] + (71).to_bytes(2, "little")
    return content + b"sha256:" + hashlib.sha256(content).hexdigest().encode()


def test_archives_that_are_sealed_and_yet_not_ours_are_refused(tmp_path):
    kind, arrays, values = files.read(VERSION1 / "LogisticRegression.fb")
    whole = packed(kind, arrays, values)
    path = tmp_path / "made.fb"
    path.write_bytes(sealed(rezipped(whole)))
    load_model(path)
    stored = rezipped(whole)
    compressed = rezipped(whole, compression=zipfile.ZIP_DEFLATED)
    file = io.BytesIO(stored)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as archive:
        archive.writestr("coef.npy", b"twice")
    encrypted = bytearray(stored)
    encrypted[stored.find(b"PK\1\2") + 8] |= 1
    lost = stored.replace(b"names.npy", b"nomes.npy")
    for changed, match in (
        (compressed, "the member metadata.json is compressed"),
        (file.getvalue(), "a member is there twice"),
        (bytes(encrypted), "the member metadata.json is encrypted"),
        (b"x" * 10 + stored, "not where the directory says|before its first member"),
        (lost, "the member n.mes is (missing|unknown)"),
    ):
        path.write_bytes(sealed(changed))
        with pytest.raises(DamagedError, match=match):
            load_model(path)


def test_sizes_are_compared_with_the_file_before_anything_is_read(tmp_path):
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, header)
    content = packed("LBFGSState", {"theta": np.zeros(3)}, {})
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        told = json.loads(old.read("metadata.json"))
        told["members"]["theta"] = f"<f8 {(2**40,)}"
        new.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(told))
        new.writestr(zipfile.ZipInfo("theta.npy"), member.getvalue() + b"0" * 24)
    path = tmp_path / "large.fb"
    path.write_bytes(sealed(file.getvalue()))
    with pytest.raises(DamagedError, match="theta does not have the 8796093022208 bytes of its type and shape"):
        load_state(path)


def test_objects_in_a_file_are_refused_unread(tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    member = io.BytesIO()
    np.save(member, np.array([Harmful()], object), allow_pickle=True)
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(packed("LBFGSState", {"theta": np.zeros(1)}, {}))) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        told = json.loads(old.read("metadata.json"))
        told["members"]["theta"] = "|O (1,)"
        new.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(told))
        new.writestr(zipfile.ZipInfo("theta.npy"), member.getvalue())
    path = tmp_path / "harmful.fb"
    path.write_bytes(sealed(file.getvalue()))
    with pytest.raises(DamagedError, match=r"the member theta is \|O \(1,\), which is never saved"):
        load_state(path)
    assert not (tmp_path / "harm").exists()


def test_metadata_that_no_parser_likes_is_refused(tmp_path):
    path = tmp_path / "deep.fb"
    for text in ("[" * 200_000, '{"format": "fullbatch", "version": 2, "kind": ' + "9" * 5000 + "}", "\xff", "null"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("metadata.json"), text)
        path.write_bytes(sealed(file.getvalue()))
        with pytest.raises(ModelFileError, match=r"deep\.fb is (damaged, or )?not a file of fullbatch"):
            load_model(path)


def remade(content, change, member=None):
    """An archive whose metadata are changed, and whose theta is another member."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        told = json.loads(old.read("metadata.json"))
        change(told)
        new.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(told))
        new.writestr(zipfile.ZipInfo("theta.npy"), old.read("theta.npy") if member is None else member)
    return sealed(file.getvalue())


def unchanged(told):
    pass


def npy(array, version=(1, 0)):
    member = io.BytesIO()
    np.lib.format.write_array(member, array, version=version)
    return member.getvalue()


@pytest.mark.parametrize(
    ("change", "member", "message"),
    [
        (lambda told: told.pop("members"), None, "members: the list of the arrays is missing"),
        (lambda told: told.update(members=["theta"]), None, "members: the list of the arrays is missing"),
        (lambda told: told.update(kind=7), None, "kind must be text"),
        (unchanged, npy(np.zeros(1), (3, 0)), r"the member theta is an array of version \(3, 0\)"),
        (unchanged, npy(np.zeros(2)), r"the member theta is <f8 \(2,\), the metadata says <f8 \(1,\)"),
        (
            lambda told: told["members"].update(theta="<U1 (1,)"),
            npy(np.array(["a"])).replace(b"a\0\0\0", b"\xff\xff\xff\xff"),
            "the member theta is no text",
        ),
        (lambda told: told.update(much="x" * 2**24), None, r"metadata.json has \d+ bytes"),
    ],
    ids=["no list", "a list", "kind", "version", "shape", "no text", "long"],
)
def test_archives_that_contradict_themselves_are_refused(tmp_path, change, member, message):
    content = packed("LBFGSState", {"theta": np.zeros(1)}, {})
    path = tmp_path / "made.fb"
    path.write_bytes(remade(content, change, member))
    with pytest.raises(ModelFileError, match=message):
        load_state(path)


def test_what_the_system_says_of_a_file_is_told(tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot read .*: File name too long"):
        load_model(tmp_path / ("x" * 300))


def test_devices_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null", tmp_path):
        with pytest.raises(ModelFileError, match=r"it is a d(evice or a pipe|irectory)"):
            load_model(path)
        with pytest.raises(ModelFileError, match=r"cannot save to .*: it is not a file"):
            LogisticRegression().fit(np.eye(4), [0, 1, 0, 1]).save(path)


# --- files of earlier days -------------------------------------------------------------------------------------------


def frame():
    rng = np.random.default_rng(0)
    numbers = {"age": rng.normal(size=30), "größe [cm]": rng.normal(size=30)}
    return pd.DataFrame(numbers | {"region": ["north", "süd", "east"] * 10, "grade": pd.Categorical([1, 2] * 15)})


@pytest.mark.parametrize(
    ("folder", "labels", "means"),
    [
        (
            VERSION1,
            ["no", "yes", "no", "yes", "yes", "no"],
            [2.667973415474838, 2.4742446100039825, 2.868177877692829],
        ),
        (
            VERSION2,
            ["no", "yes", "yes", "no", "no", "yes"],
            [1.7410024080486082, 2.3324128715304564, 1.6585524355663845],
        ),
    ],
    ids=["version1", "version2"],
)
def test_old_models_predict_as_they_did(folder, labels, means):
    model = load_model(folder / "LogisticRegression.fb")
    assert model.predict(frame())[:6].tolist() == labels
    assert np.inf == model.C
    assert model.features_.names == ("age", "größe [cm]", "region", "grade")
    assert [levels.tolist() for levels in model.features_.levels] == [["east", "north", "süd"], [1, 2]]
    model = load_model(folder / "GeneralizedLinearRegressor.fb")
    assert model.predict(frame().drop(columns="grade"))[:3].tolist() == pytest.approx(means, rel=1e-12)
    assert model.loss_options == {"power": 1.2}


def test_the_weights_of_classes_that_old_models_had():
    weights = [load_model(folder / "LogisticRegression.fb").class_weight for folder in (VERSION1, VERSION2)]
    assert weights == [{"yes": 2.0, "no": 1.0, "maybe?": 0.5}, {"yes": 2.0, "no": 1.0}]


@pytest.mark.parametrize(
    ("folder", "kind", "iteration", "value", "pairs"),
    [
        (VERSION1, "LBFGSState", 3, 0.296201998150267, 3),
        (VERSION1, "SampledState", 3, 0.273155386985482, 3),
        (VERSION1, "NewtonState", 3, 0.2627083294835846, 0),
        (VERSION1, "NewtonCGState", 3, 0.26762545414108657, 0),
        (VERSION1, "LeastSquaresState", 1, 2412.916793905382, 0),
        (VERSION2, "LBFGSState", 2, 0.34927726323516434, 2),
        (VERSION2, "SampledState", 2, 0.30210441731728477, 2),
        (VERSION2, "NewtonState", 2, 0.28104959760961085, 0),
        (VERSION2, "NewtonCGState", 2, 0.3014370492825555, 0),
        (VERSION2, "LeastSquaresState", 1, 2020.909108419232, 0),
    ],
    ids=lambda given: given.name if isinstance(given, Path) else None,
)
def test_old_states_load(folder, kind, iteration, value, pairs, tmp_path):
    state = load_state(folder / f"{kind}.fb")
    assert (state.iteration, len(getattr(state, "steps", ()))) == (iteration, pairs)
    assert state.value == pytest.approx(value, rel=1e-15)
    saved.save_state(tmp_path / "new.fb", state)
    assert bits(load_state(tmp_path / "new.fb")) == bits(state)


@pytest.mark.parametrize("solver", [LBFGS(), SampledLBFGS(), Newton(), NewtonCG()], ids=lambda one: type(one).__name__)
def test_a_run_goes_on_from_an_old_state(solver):
    X, y = breast_cancer()
    fun = objective(X[:60, :4], y[:60])
    whole = minimize(fun, start(fun), solver=solver, tol=1e-10)
    state = load_state(VERSION2 / f"{type(whole.state).__name__}.fb")
    result = minimize(fun, start(fun), solver=solver, tol=1e-10, resume=state)
    assert (result.iterations, result.status) == (whole.iterations, whole.status)
    np.testing.assert_allclose(result.theta, whole.theta, rtol=1e-10)


@pytest.mark.parametrize("folder", [VERSION1, VERSION2], ids=["version1", "version2"])
def test_a_run_goes_on_from_an_old_checkpoint(folder, tmp_path):
    X, y = breast_cancer()
    fun = objective(X[:60, :4], y[:60])
    whole = minimize(fun, start(fun), solver=Plain())
    for file in (folder / "run").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    result = minimize(fun, start(fun), solver=Plain(), checkpoint=tmp_path)
    assert result.resumed_at == 3
    np.testing.assert_allclose(result.theta, whole.theta, rtol=1e-6)


def test_a_field_that_a_file_lacks_has_its_default(tmp_path):
    @dataclass(frozen=True, eq=False)
    class Later(LBFGSState):
        radius: float = 0.25
        tried: int = 0
        marks: np.ndarray | None = None

    state = load_state(VERSION1 / "LBFGSState.fb")
    arrays, values = saved.contents_of(state)
    arrays = {
        name: np.array(a.rows).reshape(len(a.rows), a.size) if isinstance(a, tuple) else a for name, a in arrays.items()
    }
    later = saved.state_of("old.fb", Later, arrays, values)
    assert (later.radius, later.tried, later.marks) == (0.25, 0, None)
    assert later.theta.tobytes() == state.theta.tobytes()
    file = io.BytesIO()
    pack(file, "Later", *saved.contents_of(later))
    assert b"radius.npy" in file.getvalue()


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fitted():
    return LogisticRegression(engine="serial").fit(np.eye(4), [0, 1, 0, 1])


def test_save_replaces_only_files_of_fullbatch(tmp_path, fitted):
    keras = tmp_path / "mine.keras"
    with zipfile.ZipFile(keras, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3"}')
    before = keras.read_bytes()
    with pytest.raises(ModelFileError, match="a file that is not of fullbatch is there: name another"):
        fitted.save(keras)
    assert keras.read_bytes() == before
    fitted.save(tmp_path / "m.fb")
    (tmp_path / "m.fb").write_bytes((tmp_path / "m.fb").read_bytes()[:700])  # ours, and damaged
    fitted.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").classes_.tolist() == [0, 1]


def test_save_keeps_the_mode_and_leaves_the_umask_alone(tmp_path, fitted, monkeypatch):
    def touched(mask):
        raise AssertionError("the umask of the process was touched")

    before = os.umask(0o027)
    try:
        with monkeypatch.context() as context:
            context.setattr(os, "umask", touched)
            fitted.save(tmp_path / "m.fb")
            assert stat.S_IMODE((tmp_path / "m.fb").stat().st_mode) == 0o640
            (tmp_path / "m.fb").chmod(0o604)
            fitted.save(tmp_path / "m.fb")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.fb").stat().st_mode) == 0o604


def test_a_full_disk_is_told_with_the_path(tmp_path, fitted, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelFileError, match=r"cannot save to .*m\.fb: .*No space left on device: \d+ bytes are free"):
        fitted.save(tmp_path / "m.fb")
    assert not list(tmp_path.iterdir())


def test_what_is_not_finite_is_not_saved(tmp_path, fitted):
    fitted.coef_ = fitted.coef_ * np.nan
    with pytest.raises(ModelFileError, match="coef has values that are not finite"):
        fitted.save(tmp_path / "m.fb")
    assert not list(tmp_path.iterdir())


def test_unfinished_files_of_the_dead_go_and_those_of_the_living_stay(tmp_path, fitted):
    fcntl = pytest.importorskip("fcntl")
    dead, living = tmp_path / ".m.fb-0123abcd.unfinished", tmp_path / ".m.fb-00000000.unfinished"
    other = tmp_path / ".n.fb-0123abcd.unfinished"
    for file in (dead, living, other):
        file.write_text("half")
    with open(living) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fitted.save(tmp_path / "m.fb")
        assert sorted(file.name for file in tmp_path.iterdir()) == sorted([living.name, other.name, "m.fb"])
    fitted.save(tmp_path / "m.fb")
    assert sorted(file.name for file in tmp_path.iterdir()) == [other.name, "m.fb"]


def test_a_file_that_cannot_be_read_is_not_replaced(tmp_path, fitted, monkeypatch):
    fitted.save(tmp_path / "m.fb")
    before = (tmp_path / "m.fb").read_bytes()

    def unreadable(head):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "is_ours", unreadable)
    with pytest.raises(ModelFileError, match=r"cannot save to .*m\.fb, nor read what is there: Input/output error"):
        fitted.save(tmp_path / "m.fb")
    assert (tmp_path / "m.fb").read_bytes() == before
    files._remove_forgotten(tmp_path / "gone by now")


@pytest.mark.parametrize("system", ["without locks", "that refuses locks"])
def test_on_a_system_without_locks_files_are_saved_too(tmp_path, fitted, monkeypatch, system):
    """What is unfinished goes at once, or where others may write, once it is old."""
    if system == "without locks":
        monkeypatch.setattr(files, "fcntl", None)
    else:
        refuse = SimpleNamespace(LOCK_EX=2, LOCK_NB=4, flock=lambda *asked: os.close(-1))  # an OSError
        monkeypatch.setattr(files, "fcntl", refuse)
    young, old = tmp_path / ".m.fb-0123abcd.unfinished", tmp_path / ".m.fb-00000000.unfinished"
    for file in (young, old):
        file.write_text("half")
    os.utime(old, (0, 0))
    fitted.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").coef_.tobytes() == fitted.coef_.tobytes()
    kept = [] if system == "without locks" else [young.name]
    assert sorted(file.name for file in tmp_path.iterdir()) == [*kept, "m.fb"]


@dataclass
class Strange:
    """A state of a solver of one's own, whose types are known where it was made only."""

    theta: "Nowhere"  # noqa: F821


@dataclass
class Picky:
    theta: Any

    def __post_init__(self):
        if self.theta.size != 2:
            raise ValueError("theta must have two numbers")


def test_states_of_other_solvers():
    assert saved._types(Strange) == {"theta": Any}
    assert saved._maybe_none(Strange) == []
    found = saved.state_of("here", Picky, *saved.contents_of(Picky(np.ones(2))))
    assert found.theta.tolist() == [1.0, 1.0]
    with pytest.raises(DamagedError, match="here is damaged: no Picky can be made of it: theta must have two numbers"):
        saved.state_of("here", Picky, {"theta": np.ones(3)}, {})


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def problem():
    X, y = breast_cancer()
    return objective(X[:60, :4], y[:60])


def run(problem, path, **options):
    return minimize(problem, start(problem), solver="lbfgs", checkpoint=Checkpoint(path, every=0, keep=3), **options)


def test_whatever_is_wrong_with_the_newest_the_one_before_is_taken(tmp_path, problem, caplog):
    run(problem, tmp_path, max_iter=4)
    *_, newest = sorted(tmp_path.iterdir())
    whole = newest.read_bytes()
    kind, arrays, values = files.read(newest)
    wrongs = list(wrong_contents(loaders(kind, values)[1], values, arrays))
    rng = random.Random(0)
    assert len(wrongs) > 200
    contents = [packed(kind, *reversed(wrong[2:])) for wrong in rng.sample(wrongs, 20)]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        later = archive.read("metadata.json").replace(b'"version": 2', b'"version": 3')
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("metadata.json"), later)
    contents += [sealed(file.getvalue()), (VERSION1 / "LogisticRegression.fb").read_bytes(), b"", b"text"]
    writer = CheckpointWriter.of(tmp_path, problem, LBFGS(precision="float64"))
    for content in contents:
        newest.write_bytes(content)
        caplog.clear()
        assert writer.latest().iteration == 3
        assert "looking for the checkpoint before it" in caplog.text
        assert str(newest) in caplog.text


def test_names_that_are_no_checkpoints_are_passed_over(tmp_path, problem, caplog):
    run(problem, tmp_path, max_iter=2)
    for name in ("checkpoint-٠٠٠٠٠٠٠٩.fb", "checkpoint-9.fb", "xcheckpoint-00000009.fb", "checkpoint-00000009.fb.bak"):
        (tmp_path / name).write_text("no")
    (tmp_path / "checkpoint-00000007.fb").symlink_to(tmp_path / "nowhere")
    (tmp_path / "checkpoint-00000008.fb").mkdir()
    result = run(problem, tmp_path, max_iter=3)
    assert result.resumed_at == 2
    assert not caplog.records
    assert (tmp_path / "checkpoint-00000009.fb").is_file()  # the names of link and directory are taken
    assert not (tmp_path / "nowhere").exists()


def test_numbers_go_on_beyond_eight_digits(tmp_path, problem):
    run(problem, tmp_path, max_iter=2)
    newest = max(tmp_path.iterdir())
    newest.rename(tmp_path / "checkpoint-99999999.fb")
    assert run(problem, tmp_path, max_iter=4).resumed_at == 2
    assert (tmp_path / "checkpoint-100000001.fb").exists()
    assert run(problem, tmp_path, max_iter=4).resumed_at == 4


# --- kills ------------------------------------------------------------------------------------------------------------


def kill_while(write, check, kills, seed):
    """Have a child write again and again, and kill it: after each kill, whatever is there must be whole."""
    rng = random.Random(seed)
    for _ in range(kills):
        child = os.fork()
        if not child:
            try:
                while True:
                    write()
            finally:
                os._exit(1)  # an error: the parent will see that nobody was killed
        time.sleep(rng.uniform(0.0, 0.012))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        check()


def check_kills(tmp_path, kills):
    model = load_model(VERSION1 / "LogisticRegression.fb")
    model.coef_ = np.asfortranarray(model.coef_)
    path, folder = tmp_path / "models" / "model.fb", tmp_path / "run"
    path.parent.mkdir()
    model.save(path)
    whole = path.read_bytes()

    def check_model():
        assert path.read_bytes() == whole

    kill_while(lambda: model.save(path), check_model, kills, 1)
    model.save(path)
    assert [file.name for file in path.parent.iterdir()] == ["model.fb"]

    state = load_state(VERSION1 / "LBFGSState.fb")
    _, _, parts, told = saved.apart("old", *files.read(VERSION1 / "run" / "checkpoint-00000003.fb")[1:])
    fingerprint = Fingerprint(told["fingerprint"], parts)

    def writer():
        return CheckpointWriter(Checkpoint(folder, every=0), fingerprint, LBFGSState)

    def keep():
        kept = writer()
        for _ in range(5):
            kept.save(replace(state), Spent())

    def check_run():
        for file in folder.glob("checkpoint-*.fb"):
            load_state(file)

    writer().save(state, Spent())
    kill_while(keep, check_run, kills, 2)
    last = writer()
    last.save(state, Spent())
    assert all(file.name.startswith("checkpoint-") for file in folder.iterdir())
    assert writer().latest().theta.tobytes() == state.theta.tobytes()


def test_killed_while_saving(tmp_path):
    check_kills(tmp_path, 15)


@pytest.mark.slow
def test_killed_500_times_while_saving_and_500_times_at_checkpoints(tmp_path):
    check_kills(tmp_path, 500)
