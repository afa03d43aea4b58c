"""Blocks are read by the workers near which they lie; results do not depend on it."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from tests.engines.cluster import ThreadCluster

from fullbatch import Linear, SerialEngine, array_sources
from fullbatch.engines._cluster import Limits
from fullbatch.engines._locality import by_locality
from fullbatch.engines._supervisor import SupervisedBlocks
from fullbatch.protocols import ValueGrad


def test_the_fewest_bytes_travel():
    homes = [{"a": 5}, {"b": 5, "a": 9}, {"c": 1}]
    assert by_locality(["a", "b", "c"], homes) == [0, 1, 2]
    assert by_locality(["c", "a", "b"], homes) == [2, 0, 1]
    assert by_locality(["a", "a", "b"], [{"b": 3}, {"a": 3}, {"a": 2}]) in ([1, 2, 0], [2, 1, 0])


def test_blocks_stay_in_order_where_nothing_is_gained():
    assert by_locality(["a", "b", "c"], [{}, {}, {}]) == [0, 1, 2]
    assert by_locality(["a", "a", "b"], [{"a": 1}, {"a": 1}, {"a": 1}]) == [0, 1, 2]


def test_workers_take_the_blocks_that_the_cluster_chose():
    X = np.random.default_rng(0).standard_normal((60, 3))
    data, model = array_sources(X, np.arange(60) % 2, blocks=6), Linear("logistic")
    cluster = ThreadCluster(model, 6, 3)
    cluster.order = [2, 0, 1]
    blocks = SupervisedBlocks(cluster, data, 3, Limits(3, 0, 60.0, 60.0))
    assert [sorted(worker.worker._sources) for worker in cluster.workers] == [[4, 5], [0, 1], [2, 3]]
    request = ValueGrad(np.linspace(-1, 1, 4))
    assert blocks.sum(request).grad.tobytes() == SerialEngine().place(model, data).sum(request).grad.tobytes()
    blocks.close()


@pytest.mark.slow
def test_blocks_of_a_ray_dataset_are_read_on_the_nodes_that_hold_them():
    program = textwrap.dedent("""
        import numpy as np, pyarrow as pa, ray
        from ray.cluster_utils import Cluster
        from fullbatch import Linear, RayEngine, table_sources

        cluster = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False, "resources": {"head": 1}})
        cluster.add_node(num_cpus=1, resources={"other": 1})
        ray.init(cluster.address, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False

        @ray.remote(num_cpus=0)
        def table(seed):
            rng = np.random.default_rng(seed)
            return pa.table({**{f"x{j}": rng.random(5000) for j in range(20)}, "y": np.arange(5000) % 2})

        @ray.remote(num_cpus=0)
        def here():
            return ray.get_runtime_context().get_node_id()

        def on(node, task, *args):
            return task.options(resources={node: 0.01}).remote(*args)

        nodes = {node: ray.get(on(node, here)) for node in ("head", "other")}
        for first, second in (("head", "other"), ("other", "head")):
            refs = [on(first, table, 0), on(first, table, 1), on(second, table, 2), on(second, table, 3)]
            ray.wait(refs, num_returns=4, fetch_local=False)
            sources = table_sources(ray.data.from_arrow_refs(refs), target="y", blocks=4)
            placed = RayEngine(2).place(Linear("logistic"), sources)
            held = {ray.get(member.worker.node.remote()): member.blocks for member in placed._members}
            assert held == {nodes[first]: [0, 1], nodes[second]: [2, 3]}, (held, nodes)
            placed.close()
        print("near")
    """)
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert told.stdout.strip().endswith("near"), told.stdout + told.stderr
