"""Where everything is kept: programs that were fetched, and the servers that run."""

import contextlib
import fcntl
import hashlib
import os
import sys


def directory():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.realpath(os.environ.get("KRONOS_SERVERS_DIR") or os.path.join(cache, "kronos-servers"))


def programs():
    return os.path.join(directory(), "programs")


def running():
    """Each checkout of the repository has servers of its own; what was fetched is for all of them."""
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    name = f"{os.path.basename(checkout)}-{hashlib.sha256(checkout.encode()).hexdigest()[:8]}"
    return os.path.join(directory(), "running", name)


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(path):
    """One at a time: what another call of this script does with this path is waited for."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another call that works on {path}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
