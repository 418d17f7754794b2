"""Packages of another release of Debian with all that they need, unpacked beside the system's."""

import os
import shutil

import fetch as fetching
from wrappers import WRAP

# Until trixie libraries are in /lib too, which is a link from then on.
UNPACK = r'''
set -eu
to=$1 suite=$2 include=$3
mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
  --setup-hook='mkdir -p "$1/usr/lib" && ln -s usr/lib "$1/lib"' \
  --aptopt='APT::Install-Recommends "false"' --include="$include" "$suite" "$to/root"
'''


def unpacked(name, suite, packages, directories, line=""):
    """The root of the other system; the programs in `directories` start from here."""
    if not shutil.which("mmdebstrap"):
        raise fetching.Unavailable("mmdebstrap is not installed, and it unpacks the other release")
    wraps = "\n".join(f"wrap \"$to/root\" {directory} '{line}'" for directory in directories)
    return os.path.join(fetching.fetched(f"{name}-{suite}", "sh", lambda to: [
        "-c", f"{UNPACK}{WRAP}{wraps}", "sh", to, suite, ",".join(packages)]), "root")
