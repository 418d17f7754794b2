"""Packages of the Debian that runs here, unpacked into the cache and not installed."""

import platform
import shutil

import fetch as fetching

UNPACK = ('mkdir debs && cd debs && { apt-get download "$@" || { apt-get update && apt-get download "$@"; }; } '
          "&& for deb in *.deb; do dpkg -x \"$deb\" ..; done && cd .. && rm -r debs")
# Debian 13 renamed what depends on the size of a time.
RENAMED = {"libtirpc3": "libtirpc3t64", "libaio1": "libaio1t64"}


def unpacked(name, packages, afterwards=""):
    """The directory with the packages. A program of an older release does not always start on a
    newer one: the directory is named after it."""
    try:
        release = platform.freedesktop_os_release()
    except OSError as error:
        raise fetching.Unavailable(f"not a known Linux: {error}") from error
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise fetching.Unavailable("apt-get and dpkg are not there, and it is fetched by them")
    if int(release.get("VERSION_ID", "13").split(".")[0]) >= 13:
        packages = [RENAMED.get(package, package) for package in packages]
    return fetching.fetched(f"{name}-{release['ID']}-{release.get('VERSION_CODENAME', 'rolling')}", "sh",
                            lambda to: ["-c", f"set -e\n{UNPACK}\n{afterwards}", "sh", *packages])


def libraries(root):
    """Where a system that is not installed has its libraries."""
    machine = f"{platform.machine()}-linux-gnu"
    return [f"{root}/usr/lib/{machine}", f"{root}/lib/{machine}"]
