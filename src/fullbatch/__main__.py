"""`python -m fullbatch` is the command line."""

from .cli import main

main()
