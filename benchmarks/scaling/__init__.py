"""A model of what a pass costs on a cluster: fitted on few workers, checked on cases left out, extrapolated."""
