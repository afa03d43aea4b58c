"""Ray's own configuration objects, read by the fields that those of Ray Train, Ray Tune and `ray.air` share."""

import logging
import sys
from typing import Any

logger = logging.getLogger(__name__)

# What a ScalingConfig may ask for and workers of CPUs cannot give.
_NOT_GIVEN = ("use_gpu", "use_tpu", "accelerator_type", "topology", "label_selector")


def engine_options(scaling_config: Any, run_config: Any) -> dict[str, Any]:
    """The options of `RayEngine` that say the same.

    Raises
    ------
    ValueError
        They ask for what `RayEngine` has not.
    """
    options: dict[str, Any] = {}
    if scaling_config is not None:
        options |= _of_scaling(scaling_config)
    failures = getattr(run_config, "failure_config", None)
    if failures is not None:
        options["max_failures"] = sys.maxsize if failures.max_failures == -1 else failures.max_failures
    return options


def _of_scaling(config: Any) -> dict[str, Any]:
    workers, resources = config.num_workers, dict(config.resources_per_worker or {})
    if not isinstance(workers, int):
        raise ValueError(f"num_workers must be one number, got {workers!r}: lost workers are made up for in any case")
    asked = [name for name in _NOT_GIVEN if getattr(config, name, None)]
    asked += [name for name, amount in resources.items() if name != "CPU" and amount]
    if asked:
        raise ValueError(f"RayEngine's workers have CPUs only: leave {', '.join(asked)} out of the ScalingConfig")
    if getattr(config, "placement_strategy", "PACK") != "PACK":
        logger.warning("placement_strategy=%r is not used: Ray chooses the nodes", config.placement_strategy)
    return {"num_workers": workers, "num_cpus_per_worker": float(resources.get("CPU", 1.0))}
