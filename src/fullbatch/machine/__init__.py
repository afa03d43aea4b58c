"""The computer that this runs on: its CPUs, the threads of its BLAS, and its disks."""
