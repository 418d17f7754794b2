"""MariaDB: the version that is installed on this machine, or else the one that its Debian has."""

import os
import shutil

import debs
import mysql_server
from wrappers import WRAP

prepare, ready, exports = mysql_server.prepare, mysql_server.ready, mysql_server.exports

# The package of the whole server only for the plugins, and libraries that a small Debian lacks.
PACKAGES = ("mariadb-server-core", "mariadb-server", "mariadb-client-core", "mariadb-client", "mariadb-backup",
            "libmariadb3", "libaio1", "libnuma1", "liburing2", "libpcre2-8-0")
# The clients look for the other half of ed25519.
PLUGINS = 'export MARIADB_PLUGIN_DIR="${MARIADB_PLUGIN_DIR:-$(echo "$root"/usr/lib/*/libmariadb3/plugin)}"'
PROGRAMS = ("mariadb", "mariadb-dump", "mariadb-binlog", "mariadb-install-db")


def fetch():
    installed = shutil.which("mariadbd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if installed:
        installed = os.path.realpath(installed)
        beside = os.path.join(os.path.dirname(os.path.dirname(installed)), "bin")
        if all(os.access(os.path.join(beside, program), os.X_OK) for program in PROGRAMS):
            return [installed]
    root = debs.unpacked("mariadb", PACKAGES, f"{WRAP}wrap \"$PWD\" usr/sbin; wrap \"$PWD\" usr/bin '{PLUGINS}'")
    return [os.path.join(root, "usr", "sbin", "mariadbd")]
