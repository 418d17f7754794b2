"""An S3 server that says Ok to every put-if-absent of a race: a storage that must be refused."""

import os
import shutil

import ports
import versions
from fetch import cargo
from s3_client import make_bucket

BUCKET = "kronos"
KEYS = ("kronos-s3s", "kronos-s3s-secret")


def fetch():
    return [shutil.which("s3s-fs") or os.path.join(cargo(*versions.S3S), "bin", "s3s-fs")]


def prepare(server, program):
    port = ports.free()
    server.facts = {"endpoint": f"http://127.0.0.1:{port}"}
    server.environment = {"RUST_LOG": "warn"}
    server.command = [*program, "--host", "127.0.0.1", "--port", str(port),
                      "--access-key", KEYS[0], "--secret-key", KEYS[1], "data"]


def ready(server):
    make_bucket(server.facts["endpoint"], KEYS, BUCKET)


def exports(server):
    return {"ENDPOINT": server.facts["endpoint"], "BUCKET": BUCKET,
            "ACCESS_KEY": KEYS[0], "SECRET_KEY": KEYS[1], "PID": str(server.pid)}
