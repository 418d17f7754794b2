"""PostgreSQL 17, of Debian's trixie."""

import postgres_cluster
import postgres_debian

prepare, ready, exports = postgres_cluster.prepare, postgres_cluster.ready, postgres_cluster.exports


def fetch():
    return postgres_debian.fetch(17, "trixie")
