"""How well a fitted model describes rows: calibration, ranking, residuals, and what its columns have in common."""
