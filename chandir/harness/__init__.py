"""One trial, top to bottom: configuration, seeds, loop, checkpoint, record.

Needs the experiments' extras (``pip install -e '.[experiments]'``); not part of the wheel.
"""
