"""A second dialect of S3: moto, which accepts every credential."""

import shutil
import sys

import ports
import versions
from fetch import pip
from s3_client import make_bucket

BUCKET = "kronos"


def fetch():
    if program := shutil.which("moto_server"):
        return [program]
    return ["env", f"PYTHONPATH={pip(versions.MOTO)}", sys.executable, "-m", "moto.server"]


def prepare(server, program):
    port = ports.free()
    server.facts = {"endpoint": f"http://127.0.0.1:{port}"}
    server.environment = {}
    server.command = [*program, "-H", "127.0.0.1", "-p", str(port)]


def ready(server):
    make_bucket(server.facts["endpoint"], ("any", "any"), BUCKET)


def exports(server):
    return {"ENDPOINT": server.facts["endpoint"], "BUCKET": BUCKET, "PID": str(server.pid)}
