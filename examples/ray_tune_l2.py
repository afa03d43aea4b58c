"""Ray Tune looks for the strength of the penalty: every trial is a distributed fit, on bundles reserved for it.

Install "fullbatch[ray]" and "ray[tune]", then:

    python examples/ray_tune_l2.py --workers 2
"""

import argparse

import numpy as np
from ray import tune
from ray.train import ScalingConfig
from ray.tune.schedulers import ASHAScheduler

from fullbatch import LogisticRegression, RayEngine
from fullbatch.datasets import load_mnist
from fullbatch.run.callbacks_ray_ import TuneReport

HELD_OUT = 1000


def trial(config, scaling, folder):
    """A fit on all training images but those held out, whose accuracy is reported at every iterate."""
    mnist = load_mnist(folder)
    X, X_held_out = np.split(mnist.X_train, [-HELD_OUT])
    y, y_held_out = np.split(mnist.y_train, [-HELD_OUT])

    def accuracy(iterate):
        # The solver's theta: 10 x 784 coefficients, then 10 intercepts, on centred columns.
        coef, intercept = iterate.theta[:7840].reshape(10, 784), iterate.theta[7840:]
        eta = (X_held_out - X.mean(axis=0)) @ coef.T + intercept
        return {"accuracy": float(np.mean(eta.argmax(axis=1) == y_held_out))}

    engine = RayEngine.from_config(scaling, max_failures=2)
    report = TuneReport(measures=accuracy)
    LogisticRegression(l2=config["l2"], tol=1e-3, solver="lbfgs", engine=engine, callbacks=[report]).fit(X, y)
    engine.close()


def main(args):
    scaling = ScalingConfig(num_workers=args.workers, resources_per_worker={"CPU": args.cpus})
    # The first bundle is for the trial itself, the others are for the workers that it starts.
    bundles = [{"CPU": args.cpus}, *[scaling.resources_per_worker] * scaling.num_workers]
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(trial, scaling=scaling, folder=args.mnist), tune.PlacementGroupFactory(bundles)
        ),
        param_space={"l2": tune.grid_search([0.1, 0.01, 0.001])},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", scheduler=ASHAScheduler("iteration", grace_period=10, max_t=1000)
        ),
        run_config=tune.RunConfig(name="l2", storage_path=args.storage, verbose=0),
    )
    trials = tuner.fit()
    for result in trials:
        told = result.metrics
        print(f"l2 {result.config['l2']:g}: accuracy {told['accuracy']:.3f} after {told['iteration']} iterations")
    best = trials.get_best_result()
    print(f"failed trials {trials.num_errors}")
    print(f"best l2       {best.config['l2']:g}")
    print(f"held out      {best.metrics['accuracy']:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", metavar="DIR", help="folder of the four IDX files; default: the bundled images")
    parser.add_argument("--workers", type=int, default=2, help="of each trial")
    parser.add_argument("--cpus", type=float, default=0.5, help="of each worker, and of the trial itself")
    parser.add_argument("--storage", metavar="DIR", help="for what Tune keeps; default: Tune's own")
    main(parser.parse_args())
