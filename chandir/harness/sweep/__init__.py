"""Many trials: what a command line asks for, what runs at a time, what came of it.

No number depends on it.
"""
