"""MariaDB 11, of Debian's trixie."""

import os

import mysql_server
import other_release
from mariadb import PLUGINS

prepare, ready, exports = mysql_server.prepare, mysql_server.ready, mysql_server.exports

PACKAGES = ("mariadb-server", "mariadb-client", "mariadb-backup", "libmariadb3")


def fetch():
    root = other_release.unpacked("mariadb-11", "trixie", PACKAGES, ["usr/sbin", "usr/bin"], PLUGINS)
    return [os.path.join(root, "usr", "sbin", "mariadbd")]
