"""PostgreSQL 14, of npm, with the clients of Debian's bookworm."""

import postgres_cluster
import postgres_npm
from versions import POSTGRES_14

prepare, ready, exports = postgres_cluster.prepare, postgres_cluster.ready, postgres_cluster.exports


def fetch():
    return postgres_npm.fetch(POSTGRES_14, 15, "bookworm")
