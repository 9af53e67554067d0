"""What every room needs and no number depends on: errors, files, folders, signals, output.

Imports nothing of the harness but itself.
"""
