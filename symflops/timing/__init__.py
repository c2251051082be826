"""Kernels that were timed, what the times say of the closed forms, and the times of what has not been run."""
