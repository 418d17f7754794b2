"""Processes that outlive this script, and what is written down about them.

A process is known by its id and by the moment it began, so that a process which was later given
the same id is never taken for it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from place import running


class Record:
    """A server: its directory, its process, and what it told."""

    def __init__(self, name):
        self.name = name
        self.directory = os.path.join(running(), name)
        self.log = os.path.join(self.directory, "log")
        self.pid = self.began = None
        self.command, self.environment, self.facts, self.exports, self.needs = [], {}, {}, {}, {}
        with contextlib.suppress(FileNotFoundError), open(self.file()) as file:
            vars(self).update(json.load(file))

    def file(self):
        return os.path.join(self.directory, "record.json")

    def save(self):
        kept = ("pid", "began", "command", "environment", "facts", "exports")
        with open(self.file() + ".new", "w") as file:
            json.dump({k: getattr(self, k) for k in kept}, file, indent=1)
        os.rename(self.file() + ".new", self.file())

    def exists(self):
        return os.path.isdir(self.directory)

    def alive(self):
        return self.pid is not None and self.began is not None and moment(self.pid) == self.began

    def renew(self):
        """An empty directory, for a new server."""
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(os.path.join(self.directory, "data"), mode=0o700)
        self.pid = self.began = None
        self.facts, self.exports = {}, {}

    def spawn(self):
        """Starts the command in a session of its own."""
        # What a developer has set for other programs must not reach a server.
        ours = ("AWS_", "S3_", "AZURE_", "AZURITE_", "GOOGLE_", "KRONOS_", "PYTHONPATH", "NODE_OPTIONS", "MOTO_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        with open(self.log, "a") as log:
            process = subprocess.Popen(self.command, cwd=self.directory, env=environment | self.environment,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.pid, self.began = process.pid, moment(process.pid)
        self.save()

    def signal(self, number):
        """Sends a signal to the process, and to those that it started itself."""
        if self.alive():
            # Looked for first: they lose their parent with it. Some lead a session of their own.
            began = [pid for pid in descendants(self.pid) if os.getsid(pid) != self.pid]
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            for pid in began:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def wait_for_end(self, seconds):
        until = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def megabytes(self):
        with open(f"/proc/{self.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def end(records, seconds=10):
    """Ends processes: asks all of them, waits, and kills those that are still there."""
    for record in records:
        record.signal(signal.SIGTERM)
    until = time.monotonic() + seconds
    for record in records:
        if not record.wait_for_end(max(0, until - time.monotonic())):
            record.signal(signal.SIGKILL)
            record.wait_for_end(seconds)


def descendants(pid):
    """The processes below another one."""
    parents = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{other}/stat") as file:
            parents.setdefault(int(file.read().rpartition(")")[2].split()[1]), []).append(int(other))
    found = [pid]
    for each in found:
        found += parents.get(each, ())
    return found[1:]


def moment(pid):
    """When a process began: which start of the machine, and ticks since then; none if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    with open("/proc/sys/kernel/random/boot_id") as file:
        machine = file.read().strip()
    # A zombie has ended; its parent has only not asked yet.
    return None if fields[0] in "ZX" else f"{machine} {fields[19]}"
