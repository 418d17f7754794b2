"""PostgreSQL 13, of npm, with the clients of Debian's bookworm."""

import postgres_cluster
import postgres_npm
from versions import POSTGRES_13

prepare, ready, exports = postgres_cluster.prepare, postgres_cluster.ready, postgres_cluster.exports


def fetch():
    return postgres_npm.fetch(POSTGRES_13, 15, "bookworm")
