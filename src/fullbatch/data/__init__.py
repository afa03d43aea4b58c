"""Sources name where rows come from; reading happens on the worker."""
