"""The computer that this runs on: its CPUs, and the threads of its BLAS."""
