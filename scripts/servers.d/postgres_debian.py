"""PostgreSQL of another release of Debian, unpacked beside the system's."""

import os

import other_release


def fetch(major, suite):
    return [os.path.join(programs(f"postgresql-{major}", major, suite), "initdb")]


def clients(major, suite):
    """The directory of the programs that need no server beside them."""
    return programs(f"postgresql-client-{major}", major, suite)


def programs(package, major, suite):
    inside = f"usr/lib/postgresql/{major}/bin"
    return os.path.join(other_release.unpacked(package, suite, [package], [inside]), inside)
