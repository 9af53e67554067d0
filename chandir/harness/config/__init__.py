"""What a configuration may hold: types, ranges, words that refuse it, limits of instructions.

No torch.
"""
