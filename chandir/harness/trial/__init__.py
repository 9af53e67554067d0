"""One trial: data, network, epochs, checkpoints; all of it counts as code that moves numbers."""
