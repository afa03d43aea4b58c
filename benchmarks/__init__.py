"""What one pass costs, beside the limits of the machine and beside the peers: `python -m benchmarks`."""
