"""Trials side by side in one stream of kernels of a GPU."""
