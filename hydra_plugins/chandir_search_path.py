"""Hydra's search path: ``conf``, then the user's own folders, for runs and for questions alike.

Whatever Hydra composes or answers (``--help``, ``--cfg job``) knows the choices that a run has; see
`chandir.harness.base.folders`.
"""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from chandir.harness.base import folders


class ChandirSearchPath(SearchPathPlugin):
    """Found by Hydra, by its place."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the user's own folders."""
        for folder in folders.own():
            search_path.append("chandir", f"file://{folder}")
