"""PostgreSQL 18, of Debian's sid."""

import postgres_cluster
import postgres_debian

prepare, ready, exports = postgres_cluster.prepare, postgres_cluster.ready, postgres_cluster.exports


def fetch():
    return postgres_debian.fetch(18, "sid")
