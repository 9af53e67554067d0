"""What a run folder holds, and whose it is: claim, record, weights, provenance.

No number depends on it.
"""
