"""From cells to verdicts: the paper's claims, what was measured of each, and the rule."""
