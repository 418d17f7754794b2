"""PostgreSQL 16, of npm, with the clients of Debian's trixie."""

import postgres_cluster
import postgres_npm
from versions import POSTGRES_16

prepare, ready, exports = postgres_cluster.prepare, postgres_cluster.ready, postgres_cluster.exports


def fetch():
    return postgres_npm.fetch(POSTGRES_16, 17, "trixie")
