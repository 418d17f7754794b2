"""A server that speaks MongoDB's protocol: SecantusDB, a replica set of one, with an oplog.

What it does otherwise than MongoDB's own is told by the tests that meet it. Whoever has a MongoDB
names it by KRONOS_TEST_MONGODB_URL.
"""

import os
import shlex
import socket
import sys

import ports
import versions
from fetch import pip


def fetch():
    program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "secantus_server.py")
    return ["env", f"PYTHONPATH={pip(versions.SECANTUS)}", sys.executable, program]


def prepare(server, program):
    port = ports.free()
    server.facts = {"port": port, "endpoint": f"mongodb://127.0.0.1:{port}"}
    server.environment = {}
    server.command = [*program, "--port", str(port), "--storage-path", f"{server.directory}/data"]


def ready(server):
    socket.create_connection(("127.0.0.1", server.facts["port"]), 1).close()


def exports(server):
    # By the command alone, tests start others of their own.
    return {"URL": f"{server.facts['endpoint']}/?directConnection=true", "PID": str(server.pid),
            "COMMAND": shlex.join(fetch())}
