"""From run folders to cells that may be compared."""
