"""PostgreSQL: the version that is installed on this machine."""

import glob
import os
import shutil

import postgres_cluster
from fetch import Unavailable

prepare, ready, exports = postgres_cluster.prepare, postgres_cluster.ready, postgres_cluster.exports


def fetch():
    """The program that makes a cluster, of the highest version."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb") + glob.glob("/usr/pgsql-*/bin/initdb")
    found.sort(key=lambda path: int("".join(filter(str.isdigit, path)) or 0))
    program = found[-1] if found else shutil.which("initdb")
    if not program:
        raise Unavailable("PostgreSQL's server is not installed (package postgresql)")
    return [os.path.realpath(program)]
