"""User names, passwords and query strings of URLs show nowhere."""

import logging
import pickle
import subprocess
import sys
import threading
import traceback
import uuid
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from tables import table, write_libsvm

from fullbatch import (
    Checkpoint,
    GeneralizedLinearRegressor,
    LogisticRegression,
    SerialEngine,
    ThreadEngine,
    csv_sources,
    file_sources,
    libsvm_sources,
    load_model,
    npy_sources,
    parquet_sources,
)
from fullbatch.datasets import fetch_mnist
from fullbatch.models.linear import Linear
from fullbatch.wording.shown import Url, named, real, redacted, without_secrets

pytest.importorskip("aiohttp")

SECRETS = ("alice", "hunter2", "s3cr3tT0ken", "X-Signature")
USER, QUERY = "alice:hunter2", "?X-Signature=s3cr3tT0ken&part=s3cr3tT0ken"


class Web:
    """A web server of this machine: files by name, told to everybody who knows the query."""

    def __init__(self, folder):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self, body=True):
                path = folder / self.path.partition("?")[0].lstrip("/")
                found = path.is_file() and not self.server.is_broken
                content = path.read_bytes() if found else b"gone: " + self.path.encode()
                code, start, stop = 200 if found else 500 if self.server.is_broken else 404, 0, len(content)
                if found and (span := self.headers.get("Range")):
                    first, _, last = span.removeprefix("bytes=").partition("-")
                    code, start, stop = 206, int(first), min(int(last) + 1 if last else stop, stop)
                self.send_response(code)
                self.send_header("Accept-Ranges", "bytes")
                if code == 206:
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
                self.send_header("Content-Length", str(stop - start))
                self.end_headers()
                if body:
                    self.wfile.write(content[start:stop])

            def do_HEAD(self):
                self.do_GET(body=False)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.is_broken = False
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, name, query=QUERY):
        return f"http://{USER}@127.0.0.1:{self.server.server_port}/{name}{query}"


@pytest.fixture
def web(tmp_path):
    folder = tmp_path / "web"
    folder.mkdir()
    frame = table()
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet", index=False)
    write_libsvm(frame, folder / "t.svm")
    np.save(folder / "X.npy", frame.drop(columns="y").to_numpy())
    np.save(folder / "y.npy", frame["y"].to_numpy())
    (folder / "ragged.csv").write_text("a,y\n1,2\n3\n")
    (folder / "bad.csv").write_text("a,y\n" + "1,0\n2,1\n" * 20 + "inf,1\n")
    (folder / "bad.parquet").write_bytes(b"PAR1 and no more")
    (folder / "bad.npy").write_bytes(b"\x93NUMPY and no more")
    (folder / "bad.svm").write_text("1 1:x\n")
    web = Web(folder)
    yield web
    web.server.shutdown()


def error_of(action):
    """All that an error tells to whom asks it, with those that it came from."""
    try:
        action()
    except Exception as caught:  # of all kinds; the texts are what is tested
        error = caught
    else:
        pytest.fail("there was no error")
    texts = traceback.format_exception(error)
    while error is not None:
        texts += [str(error), repr(error), repr(error.args), repr({k: str(v) for k, v in vars(error).items()})]
        error = error.__cause__ or error.__context__
    return texts


def after(web, sources):
    """The error of reading sources whose server has broken down."""
    web.server.is_broken = True
    fsspec.get_filesystem_class("http").clear_instance_cache()
    return error_of(lambda: [pickle.loads(pickle.dumps(source)).read() for source in sources])


class Telling:
    """A source of somebody else's, whose error tells all."""

    def __init__(self, url):
        self.url = url

    def read(self):
        raise RuntimeError(f"denied: {self.url}")

    def __str__(self):
        return "telling"


def store(name="run"):
    return f"memory://{USER}@{uuid.uuid4().hex}/{name}{QUERY}"


def fitted(checkpoint, max_iter=3, shift=0.0, **options):
    X = np.random.default_rng(0).normal(size=(60, 3)) + shift
    model = LogisticRegression(engine="serial", solver="lbfgs", tol=1e-9, checkpoint=checkpoint, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.set_params(max_iter=max_iter).fit(X, np.arange(60) % 2)


def another_run(url):
    fitted(url)
    return error_of(lambda: fitted(url, shift=1.0))


def files_of(url):
    files, inside = fsspec.core.url_to_fs(url)
    return [files.cat_file(name).decode("latin1") for name in files.ls(inside, detail=False)]


def damaged(url):
    fitted(Checkpoint(url, every=0))
    files, inside = fsspec.core.url_to_fs(url)
    for name in files.ls(inside, detail=False):
        files.pipe_file(name, b"no more")
    return url


def failing(url, monkeypatch):
    """A folder of checkpoints that breaks down, and says where."""
    memory = fsspec.get_filesystem_class("memory")
    original = memory.open

    def broken(self, path, mode="rb", **options):
        if "w" in mode:
            raise ConnectionError(f"denied for {USER} at {url}")
        return original(self, path, mode, **options)

    monkeypatch.setattr(memory, "open", broken)
    return fitted(url).result_.message


def command(*arguments):
    line = [sys.executable, "-m", "fullbatch", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=200)
    return [done.stdout, done.stderr, str(done.returncode)]


def plan(sources, engine):
    placed = engine.place(Linear("logistic"), sources)
    try:
        return [str(placed.plan), repr(placed.plan), repr(placed), str(placed.schema), str(placed.health)]
    except AttributeError as error:
        return [str(placed.plan), repr(placed.plan), str(error)]
    finally:
        placed.close()


PROBES = {
    "csv is not there": lambda web, **_: error_of(lambda: csv_sources(web.url("no.csv"))),
    "parquet is not there": lambda web, **_: error_of(lambda: parquet_sources(web.url("no.parquet"))),
    "npy is not there": lambda web, **_: error_of(lambda: npy_sources(web.url("no.npy"))),
    "libsvm is not there": lambda web, **_: error_of(lambda: libsvm_sources(web.url("no.svm"))),
    "glob without a match": lambda web, **_: error_of(lambda: csv_sources(web.url("no*.csv"))),
    "unknown format": lambda web, **_: error_of(lambda: file_sources(web.url("t.unknown"))),
    "several formats": lambda web, **_: error_of(lambda: file_sources([web.url("t.csv"), web.url("t.parquet")])),
    "unknown scheme": lambda **_: error_of(lambda: csv_sources(f"nosuch://{USER}@x/a.csv{QUERY}")),
    "chained": lambda web, **_: error_of(lambda: csv_sources("simplecache::" + web.url("t.csv"))),
    "nobody listens": lambda **_: error_of(lambda: csv_sources(f"http://{USER}@127.0.0.1:9/a.csv{QUERY}")),
    "a password with a slash": lambda **_: error_of(lambda: csv_sources(f"ftp://{USER}/x@127.0.0.1:9/a.csv")),
    "names of sources": lambda web, **_: [
        text
        for sources in (csv_sources(web.url("t.csv"), target="y"), npy_sources(web.url("X.npy"), web.url("y.npy")))
        for text in (str(sources[0]), repr(sources), repr(vars(sources[0])), repr(pickle.loads(pickle.dumps(sources))))
    ],
    "a ragged row": lambda web, **_: error_of(lambda: csv_sources(web.url("ragged.csv"), target="y")),
    "a damaged parquet": lambda web, **_: error_of(lambda: parquet_sources(web.url("bad.parquet"))),
    "a damaged npy": lambda web, **_: error_of(lambda: npy_sources(web.url("bad.npy"))),
    "a damaged libsvm": lambda web, **_: error_of(lambda: libsvm_sources(web.url("bad.svm"))[0].read()),
    "no such column": lambda web, **_: error_of(lambda: csv_sources(web.url("t.csv"), target="z")),
    "csv breaks down": lambda web, **_: after(web, csv_sources(web.url("t.csv"), target="y")),
    "parquet breaks down": lambda web, **_: after(web, parquet_sources(web.url("t.parquet"), target="y")),
    "npy breaks down": lambda web, **_: after(web, npy_sources(web.url("X.npy"), web.url("y.npy"))),
    "libsvm breaks down": lambda web, **_: after(web, libsvm_sources(web.url("t.svm"))),
    "a value on a worker": lambda web, **_: error_of(
        lambda: LogisticRegression(engine=ThreadEngine(2)).fit(csv_sources(web.url("bad.csv"), target="y", blocks=3))
    ),
    "an error on a worker": lambda web, **_: error_of(
        lambda: SerialEngine().place(Linear("logistic"), [Telling(web.url("t.csv"))])
    )[1:3],
    "plan and log": lambda web, **_: plan(
        csv_sources(web.url("t.csv"), target="y", blocks=3), SerialEngine(memory=9000)
    ),
    "a saved model": lambda web, tmp_path, **_: [
        GeneralizedLinearRegressor(checkpoint=store(), engine="serial")
        .fit(parquet_sources(web.url("t.parquet"), target="y"))
        .save(tmp_path / "m.fb")
        or (tmp_path / "m.fb").read_text("latin1"),
        repr(load_model(tmp_path / "m.fb")),
    ],
    "predictions": lambda web, **_: error_of(
        lambda: fitted(None).predict(csv_sources(web.url("t.csv"), features=["a", "b"]))
    ),
    "repr of a checkpoint": lambda **_: [
        repr(Checkpoint(store())),
        str(Checkpoint(store()).path),
        repr([Checkpoint(store())]),
    ],
    "repr of an estimator": lambda **_: [
        repr(LogisticRegression(checkpoint=store())),
        str(LogisticRegression(checkpoint=Checkpoint(store()))),
        LogisticRegression(checkpoint=store())._repr_html_(),
        repr(LogisticRegression(checkpoint=store())._repr_mimebundle_()),
    ],
    "a written checkpoint": lambda **_: [text for url in [store()] for _ in [fitted(url)] for text in files_of(url)],
    "going on": lambda **_: [fitted(url).result_.message for url in [store()] for _ in range(2)],
    "another run": lambda **_: another_run(store()),
    "damaged checkpoints": lambda **_: error_of(lambda: fitted(damaged(store()))),
    "no checkpoint": lambda monkeypatch, **_: [failing(store(), monkeypatch)],
    "no such store": lambda **_: error_of(lambda: fitted(f"nosuch://{USER}@x/a{QUERY}")),
    "the command line": lambda web, tmp_path, **_: [
        *command(
            "fit",
            web.url("t.csv"),
            "--target",
            "y",
            "--json",
            "--checkpoint",
            store(),
            "--save",
            str(tmp_path / "m.fb"),
        ),
        *command("fit", web.url("no.csv"), "--target", "y", "--debug"),
        *command("evaluate", str(tmp_path / "m.fb"), web.url("t.csv"), "--target", "y"),
        *command("fit", web.url("bad.csv"), "--target", "y", "--json"),
    ],
    "a mirror": lambda web, tmp_path, **_: error_of(lambda: fetch_mnist(tmp_path / "mnist", web.url("mnist"))),
}


@pytest.mark.parametrize("probe", PROBES)
def test_secrets_of_urls_show_nowhere(probe, web, tmp_path, monkeypatch, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in ("fsspec", "fsspec.http", "fullbatch", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, name)
    texts = PROBES[probe](web=web, tmp_path=tmp_path, monkeypatch=monkeypatch)
    assert texts
    assert all(isinstance(text, str) for text in texts)
    shown = "\n".join([*texts, *(record.getMessage() for record in caplog.records), *capfd.readouterr()])
    found = [line for line in shown.splitlines() if any(secret in line for secret in SECRETS)]
    assert found == []


def test_files_behind_secrets_are_read(web):
    sources = csv_sources(web.url("t.csv"), target="y")
    np.testing.assert_array_equal(sources[0].read().X, table().drop(columns="y").to_numpy())
    assert file_sources(web.url("t.parquet"), target="y")[0].read().y.tolist() == table()["y"].tolist()
    assert str(sources[0]) == f"http://127.0.0.1:{web.server.server_port}/t.csv rows 0..199"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host:8080/a/b.csv?sig=x&y=z#part", "https://host:8080/a/b.csv"),
        ("https://token@host/a.csv", "https://host/a.csv"),
        ("https://host:443/a.csv", "https://host:443/a.csv"),
        ("https://user:p@ss@host/a.csv", "https://host/a.csv"),
        ("ftp://user:p/a?s#s@host/a.csv", "ftp://host/a.csv"),
        ("s3://bucket/part-?.csv", "s3://bucket/part-?.csv"),
        ("s3://bucket/a#b@c.csv", "s3://bucket/a#b@c.csv"),
        ("s3://bucket/a.csv?versionId=3", "s3://bucket/a.csv"),
        ("zip://a.csv::https://u:p@h/x.zip?sig=1", "zip://a.csv::https://h/x.zip"),
        ("http://[::1]:80/a.csv", "http://[::1]:80/a.csv"),
        ("memory://x", "memory://x"),
    ],
)
def test_how_urls_are_shown(url, shown):
    assert str(named(url)) == shown
    assert real(named(url)) == url
    assert isinstance(named(url), Url) is (shown != url)
    assert redacted(f"cannot read '{url}': no") == f"cannot read '{shown}': no"
    assert real(pickle.loads(pickle.dumps(named(url)))) == url


def test_secrets_are_struck_out_of_what_others_say():
    url = "https://alice:hunter%212@host/a.csv?token=abcdef"
    text = (
        "login alice/hunter!2 with abcdef: GET /a.csv?token=abcdef for https://alice:hunter%212@host/a.csv?token=abcdef"
    )
    assert without_secrets(text, url) == "login ***/*** with ***: GET /a.csv for https://host/a.csv"
    assert named("/a/b?token=abcdef") == "/a/b?token=abcdef"  # a path of this machine
