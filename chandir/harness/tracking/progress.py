"""A bar per trial on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

QUIET = 10.0  # seconds between two plain lines


class Progress:
    """Counts steps and shows scores.

    Args:
        title: what is run, short.
        steps: of the whole trial.
        done: steps done before, on resume.
        bar: whether a terminal gets a bar.
    """

    def __init__(self, title: str, steps: int, done: int, bar: bool) -> None:
        """Open the bar if someone is watching."""
        self.title = title
        self.last = time.monotonic()
        self.bar: Any = None
        if bar and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=steps, initial=done, desc=title, unit="step", leave=False, dynamic_ncols=True
            )

    def tick(self) -> None:
        """One step done."""
        if self.bar is not None:
            self.bar.update()

    def epoch(self, row: dict[str, Any], epochs: int, score: str) -> None:
        """One epoch done."""
        shown = score if score in row else next(key for key in row if key.startswith("train_loss"))
        text = f"{shown} {row[shown]:.2f}"
        if self.bar is not None:
            self.bar.set_postfix_str(f"epoch {row['epoch']}/{epochs} {text}", refresh=False)
        elif time.monotonic() - self.last > QUIET:
            self.last = time.monotonic()
            print(f"{self.title}: epoch {row['epoch']}/{epochs} {text}", flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
