"""Whole fits with an L2 penalty beside other libraries in one run: the same objective, judged by F in float64.

Every contender is asked for ever more accurate fits until one is within a relative gap of 1e-6 of the least F known, or
its time is over. What counts are the seconds of the first fit that is near enough, from arrays in memory to
coefficients: placing, sampling and factorising are in it.
"""
