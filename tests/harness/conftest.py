from __future__ import annotations

from typing import Any

import pytest

from tests.harness.faults import SHORT, finished


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers of the short trial that the fault tests disturb."""
    return finished(tmp_path_factory.mktemp("whole"), SHORT)
