"""What a trial is put together from: metrics and controls, optimizers, schedules, any class.

Each is a class with a file in ``conf``; see docs/extend.rst.
"""
