"""What the benchmarks of database servers share: rows as applications have them, commands measured with
the whole machine beside them, tables."""

import itertools
import json
import os
import random
import shlex
import subprocess
import uuid

from shared import *  # noqa: F403
from shared import MIB, REPOSITORY, measure, mebibytes, median, stored

SERVERS = os.path.join(REPOSITORY, "scripts", "servers")
FIRST, AGAIN, RESTORE = "first backup", "second, nothing changed", "restore"
HEAD = ["database", "what", "beside", "time, ours ÷ theirs", "ours", "theirs", "processor, ours", "theirs",
        "whole machine, ours", "theirs", "stored, ours", "theirs", "peak memory, ours", "theirs"]


def wide_rows(megabytes, seed=7):
    """Rows for COPY, as applications have them: numbers, uuids, text, JSON, amounts, times."""
    pick = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(pick.choices(letters, weights=range(26, 0, -1), k=pick.randint(2, 11))) for _ in range(20000)]
    often = list(itertools.accumulate(1 / (n + 10) for n in range(len(words))))
    size = n = 0
    while size < megabytes * MIB:
        n += 1
        body = " ".join(pick.choices(words, cum_weights=often, k=pick.randint(10, 60)))
        meta = json.dumps({"tags": pick.sample(words, 3), "score": pick.random(), "ref": pick.getrandbits(60)})
        day = f"2026-{pick.randint(1, 12):02}-{pick.randint(1, 28):02}"
        at = f"{day} {pick.randint(0, 23):02}:{pick.randint(0, 59):02}:{pick.randint(0, 59):02}.{pick.randint(0, 999999):06}+00"
        number = uuid.UUID(int=pick.getrandbits(128))
        line = f"{n}\t{number}\t{body}\t{meta}\t{pick.uniform(0, 1e6):.4f}\t{at}\n"
        size += len(line)
        yield line


def facts_of(server):
    """Starts one of the servers of scripts/servers; gives what it tells of itself."""
    # Whatever the shell has of other servers is not meant.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KRONOS_TEST_")}
    told = subprocess.run([SERVERS, "start", server], env=clean, check=True, capture_output=True, text=True)
    lines = (line.removeprefix("export ").split("=", 1) for line in told.stdout.splitlines() if "=" in line)
    prefix = f"KRONOS_TEST_{server.upper()}_"
    return {name.removeprefix(prefix): "".join(shlex.split(value)) for name, value in lines}


def stop(server):
    subprocess.run([SERVERS, "stop", server], check=False, capture_output=True)


class Run:
    """A command: seconds, seconds of processor that it and the whole machine took, peak memory, bytes stored."""

    def __init__(self, seconds, cpu, machine, peak, size):
        self.seconds, self.cpu, self.machine, self.peak, self.size = seconds, cpu, machine, peak, size


def busy():
    """Seconds that the processors were not idle."""
    with open("/proc/stat") as told:
        times = [int(word) for word in told.readline().split()[1:9]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def timed(command, place, server, size_of=None):
    """Runs a command once the server has nothing left to write of what was before."""
    server.settle()
    os.sync()
    before, begun = busy(), os.times()
    with scoped(server.environment):
        told = measure(command, place)
    ended = os.times()
    cpu = (ended.children_user + ended.children_system) - (begun.children_user + begun.children_system)
    return Run(told.seconds, cpu, busy() - before, told.peak, stored(size_of) if size_of else None)


class scoped:
    """Variables for the commands that are run meanwhile."""

    def __init__(self, variables):
        self.variables = variables

    def __enter__(self):
        self.before = dict(os.environ)
        os.environ.update(self.variables)

    def __exit__(self, *_):
        os.environ.clear()
        os.environ.update(self.before)


class Table:
    def __init__(self):
        self.pairs = {}

    def add(self, database, what, peer, ours, theirs):
        self.pairs.setdefault((database, what, peer.name), []).append((ours, theirs))

    def lines(self):
        for (database, what, peer), pairs in self.pairs.items():
            ours, theirs = zip(*pairs)
            both = lambda of, form: [form(median([of(run) for run in side])) for side in (ours, theirs)]  # noqa: E731
            seconds = lambda value: f"{value:.1f} s"  # noqa: E731
            sizes = both(lambda run: run.size, mebibytes) if ours[0].size is not None else ["", ""]
            ratio = median([mine.seconds / other.seconds for mine, other in pairs])
            yield [database, what, peer, f"**{ratio:.2f}**", *both(lambda run: run.seconds, seconds),
                   *both(lambda run: run.cpu, seconds), *both(lambda run: run.machine, seconds), *sizes,
                   *(mebibytes(max(run.peak for run in side)) for side in (ours, theirs))]
