"""Networks: one architecture per file, each needing torch alone."""
