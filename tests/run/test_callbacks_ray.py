"""What Ray is told: reports to Tune, metrics, and Ray's own configuration objects."""

import sys
import time
import types
import urllib.request

import numpy as np
import pytest
from problems import digits, objective, start

from fullbatch import Checkpoint, RayEngine, minimize
from fullbatch.engines._ray_config import engine_options
from fullbatch.run.callbacks_ray_ import RayMetrics, TuneReport

train = pytest.importorskip("ray.train")


def test_every_iterate_is_reported_to_tune(monkeypatch):
    from ray import tune

    reports = []
    monkeypatch.setattr(tune, "report", reports.append)
    fun = objective(*digits(), "softmax")
    measured = TuneReport(measures=lambda iterate: {"largest": float(np.abs(iterate.theta).max())})
    result = minimize(fun, start(fun), solver="lbfgs", callbacks=[measured])
    assert [report["iteration"] for report in reports] == list(range(result.iterations + 1))
    assert reports[0]["optimality"] is None
    assert reports[-1]["F"] == result.value
    assert reports[-1]["gradient_norm"] == result.grad_norm
    assert reports[-1]["passes"] == result.passes - 2  # which checked the end, along two conjugate directions
    assert reports[-1]["largest"] == np.abs(result.theta).max()
    reports.clear()
    minimize(fun, start(fun), solver="lbfgs", callbacks=[TuneReport(every=1e6)])
    assert len(reports) == 1
    monkeypatch.setitem(sys.modules, "ray.tune", None)
    monkeypatch.delattr("ray.tune")
    with pytest.raises(ImportError, match=r"this needs ray\[tune\], which is not installed"):
        minimize(fun, start(fun), callbacks=[TuneReport()])


def test_options_of_rays_configuration_objects():
    scaling = train.ScalingConfig(num_workers=3, resources_per_worker={"CPU": 2})
    run = train.RunConfig(failure_config=train.FailureConfig(max_failures=4))
    engine = RayEngine.from_config(scaling, run, address="auto")
    assert (engine.num_workers, engine.num_cpus_per_worker, engine.max_failures) == (3, 2.0, 4)
    assert engine.address == "auto"
    assert engine_options(train.ScalingConfig(num_workers=1), None) == {"num_workers": 1, "num_cpus_per_worker": 1.0}
    forever = train.RunConfig(failure_config=train.FailureConfig(max_failures=-1))
    assert engine_options(None, forever) == {"max_failures": sys.maxsize}
    for asked, named in [
        ({"use_gpu": True}, "use_gpu"),
        ({"resources_per_worker": {"CPU": 1, "disk": 1}}, "disk"),
        ({"accelerator_type": "A100", "use_gpu": True}, "use_gpu, accelerator_type"),
    ]:
        with pytest.raises(ValueError, match=f"have CPUs only: leave {named} out of the ScalingConfig"):
            RayEngine.from_config(train.ScalingConfig(num_workers=2, **asked))
    elastic = types.SimpleNamespace(num_workers=(1, 4), resources_per_worker=None)
    with pytest.raises(ValueError, match=r"num_workers must be one number, got \(1, 4\)"):
        RayEngine.from_config(elastic)


def test_checkpoint_of_a_run_config(tmp_path):
    kept = train.CheckpointConfig(num_to_keep=5)
    run = train.RunConfig(name="churn", storage_path=str(tmp_path), checkpoint_config=kept)
    assert Checkpoint.from_config(run, every=3.0) == Checkpoint(f"{tmp_path}/churn", 3.0, 5)
    run = types.SimpleNamespace(name="churn", storage_path="s3://bucket/")
    assert Checkpoint.from_config(run) == Checkpoint("s3://bucket/churn")
    with pytest.raises(ValueError, match=r"needs RunConfig\(name=\.\.\., storage_path=\.\.\.\)"):
        Checkpoint.from_config(train.RunConfig(storage_path=str(tmp_path)))


def exported(node, run):
    """Values of the metrics with that tag, as Prometheus would read them from Ray's agent on the node."""
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as page:
        lines = page.read().decode().splitlines()
    found = {}
    for line in lines:
        if line.startswith("ray_fullbatch_") and f'run="{run}"' in line:
            found[line.partition("{")[0].removeprefix("ray_fullbatch_")] = float(line.rpartition(" ")[2])
    return found


def test_metrics_are_exported_to_prometheus(ray_session):
    pytest.importorskip("opentelemetry", reason='Ray exports metrics with "ray[default]"')
    fun = objective(*digits(), "softmax", engine=RayEngine(2))
    try:
        result = minimize(fun, start(fun), solver="lbfgs", callbacks=[RayMetrics(fun.blocks, "a test")])
        holding = fun.blocks.health.workers  # one, where the machine was so busy that the other was a straggler
    finally:
        fun.blocks.close()
    found, until = {}, time.monotonic() + 60  # Ray exports every few seconds
    while found.get("iteration") != result.iterations and time.monotonic() < until:
        time.sleep(0.5)
        found = exported(ray_session.nodes()[0], "a test")
    assert found["objective"] == pytest.approx(result.value, rel=1e-12)
    assert found["gradient_norm"] == pytest.approx(result.grad_norm, rel=1e-12)
    assert found["passes"] == result.passes - 2  # which checked the end
    assert found["iteration"] == result.iterations
    assert 0 < found["pass_seconds"] < result.seconds
    assert (found["workers"], found["lost_workers"]) == (holding, 0)
    theta = 8 * 650 * found["passes"]  # to each worker that holds blocks; a gradient, or parts of it, comes back
    assert holding * theta <= found["sent_bytes"] <= 2 * theta
    assert found["received_bytes"] >= holding * theta
