"""Benchmark of one pass (loss and gradient over all rows), beside what the machine can do and beside the peers.

`python -m benchmarks` runs it; docs/benchmarks.md explains what is measured.
"""
