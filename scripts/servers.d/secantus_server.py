"""Runs SecantusDB so that what was dropped stays dropped, as it does in MongoDB.

SecantusDB 0.7.0b3 lists the names of collections first, and then asks for the UUID of each; one that has been
dropped meanwhile is given a new UUID, and with it is there again, empty. So a test that looks while a restore
removes what it made would now and then see it come back.

  secantus_server.py ARGUMENT...     as those of `python -m secantus`
"""

import sys
import uuid

# Beside this file stand modules of other names that are alike.
del sys.path[0]

from secantus.cli import main  # noqa: E402
from secantus.storage import Storage  # noqa: E402

given = Storage.collection_uuid


def collection_uuid(self, database, collection):
    # No one is dropped in between while this is held.
    with self._lock:
        is_there = self._coll_options(database, collection) is not None
        return given(self, database, collection) if is_there else uuid.uuid4()


Storage.collection_uuid = collection_uuid
raise SystemExit(main())
