"""Sparse and bounded fits beside other libraries in one run: one objective, judged by F in float64 and by support.

Every contender is asked for ever more accurate fits until one is within a relative gap of 1e-6 of the least F known, or
its time is over. What counts are the seconds of that fit, from arrays in memory to coefficients. With `--paths` all
fit a path of strengths, and the gap is the largest of them.
"""
