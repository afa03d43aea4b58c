"""Standard errors, tests, intervals and effects of fitted linear models, by sums over blocks."""
