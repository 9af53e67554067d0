"""What worker processes print, whole lines of it, told as news.

Written straight to the terminal, lines of several processes and a display drawn by another one
would run into each other.
"""

from __future__ import annotations

import os
import threading
from multiprocessing import Pipe

from chandir.harness.tracking import news

PATIENCE = 2.0  # seconds for what is still in the pipe when all workers have left
CHUNK = 65536
LONGEST = 1 << 20  # bytes of a line that is never ended


class Voices:
    """A pipe that workers write to, and a thread that reads it.

    Attributes:
        mouth: the end that workers are given.
    """

    def __init__(self) -> None:
        self._ear, self.mouth = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        rest = b""
        while True:
            try:
                heard = os.read(self._ear.fileno(), CHUNK)
            except OSError:
                heard = b""
            *lines, rest = (rest + heard).split(b"\n")
            if not heard or len(rest) > LONGEST:
                lines, rest = [*lines, rest], b""
            for line in lines:
                # What redraws its own line, as a bar of a download does, is told as it ended up.
                text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
                if text.strip():
                    news.say(text, error=True)
            if not heard:
                return

    def close(self) -> None:
        """Tell what was still said, once the workers have left."""
        self.mouth.close()
        self._thread.join(PATIENCE)
        if not self._thread.is_alive():  # else someone's child holds the other end
            self._ear.close()
