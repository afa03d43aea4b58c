"""`python -m fullbatch` is the command line."""

from .cli import main

if __name__ == "__main__":  # Dask's workers import the main module
    main()
