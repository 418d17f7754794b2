"""The same as mongodb, where everybody has to log in."""

import json
import subprocess
import sys

import mongodb
import versions
from fetch import Unavailable, pip
from ports import is_free
from process import end

USER, PASSWORD = "kronos", "kronos 'secret' @/:"

fetch = mongodb.fetch

# Users can only be made where nobody has to log in.
MAKE = """
import json, sys, time, pymongo
url, user, password = json.load(sys.stdin)
pymongo.MongoClient(url, serverSelectionTimeoutMS=20000).admin.command(
    "createUser", user, pwd=password, roles=["root"])
"""


def prepare(server, program):
    mongodb.prepare(server, program)
    server.spawn()
    try:
        made = subprocess.run([sys.executable, "-c", MAKE], capture_output=True, text=True,
                              env={"PYTHONPATH": pip(versions.SECANTUS)},
                              input=json.dumps([f"{server.facts['endpoint']}/?directConnection=true", USER, PASSWORD]))
    finally:
        end([server])
    if made.returncode != 0:
        raise Unavailable(f"no user could be made: {made.stderr.strip().splitlines()[-1:]}")
    if not is_free(server.facts["port"]):
        raise Unavailable("the port was taken while the server was started again")
    server.command.append("--auth")


ready = mongodb.ready


def exports(server):
    return mongodb.exports(server) | {"USER": USER, "PASSWORD": PASSWORD}
