"""Faults by a mutation tool: a sample of them is put into a copy of the code, one at a time, and the tests that run
through the changed line are run."""
