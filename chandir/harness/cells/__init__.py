"""What a configuration means: Table 1 filled in, deviations labelled, a name and a key."""
