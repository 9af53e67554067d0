"""What a configuration may hold: types, ranges, and the words that refuse it. No torch."""
