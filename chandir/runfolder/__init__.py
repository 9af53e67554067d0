"""The one door to what run folders hold: every file is read here, checked, and named if damaged.

The harness (which trials are complete?) and the report (which trials count?) both ask here, so that
they cannot disagree. Whatever bytes a folder holds, a reader gets `Contents` with a status, or
`Damaged` with the file's name and what is wrong with it; nothing else is raised. Needs no torch.
"""

from chandir.runfolder.contents import Contents, read
from chandir.runfolder.known import state
from chandir.runfolder.reading import Damaged, Missing

__all__ = ["Contents", "Damaged", "Missing", "read", "state"]
