"""MySQL: the version that is installed on this machine, or else the one that Debian's unstable has."""

import os
import shutil
import subprocess

import mysql_server
import other_release

prepare, ready, exports = mysql_server.prepare, mysql_server.ready, mysql_server.exports


def fetch():
    installed = shutil.which("mysqld", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if installed:
        # MariaDB uses the name too.
        installed = os.path.realpath(installed)
        version = subprocess.run([installed, "--no-defaults", "--version"], capture_output=True, text=True).stdout
        if os.path.basename(installed) == "mysqld" and "MariaDB" not in version:
            return [installed]
    root = other_release.unpacked("mysql", "sid", ["mysql-server-core", "mysql-client-core"], ["usr/sbin", "usr/bin"])
    return [os.path.join(root, "usr", "sbin", "mysqld")]
