"""Google Cloud Storage: a front of our own (gcs_front.py) to the S3 server."""

import json
import os
import shutil
import subprocess
import sys

import ports
import s3
import s3_client

NEEDS = ("s3",)
MAIL = "kronos@kronos-test.iam.gserviceaccount.com"


def fetch():
    return [sys.executable, os.path.join(os.path.dirname(os.path.realpath(__file__)), "gcs_front.py")]


def prepare(server, program):
    port = ports.free()
    needs = {k.removeprefix("KRONOS_TEST_S3_"): v for k, v in server.needs.items()}
    # A bucket beside the one of the S3 tests, unless the S3 server is somebody else's.
    bucket = s3.GCS_BUCKET if needs.get("LOCK_BUCKET") == s3.LOCKED else needs["BUCKET"]
    endpoint = f"http://127.0.0.1:{port}"
    server.facts = {"endpoint": endpoint, "bucket": bucket}
    server.environment = {}
    server.command = [*program, "front.json"]
    accounts = {"account": key(server, "account"), "stranger": key(server, "stranger")}
    write(server, "front.json", {
        "port": port, "endpoint": needs["ENDPOINT"], "region": needs.get("REGION", "us-east-1"),
        "keys": [needs["ACCESS_KEY"], needs["SECRET_KEY"]],
        "mail": MAIL, "modulus": modulus(server, "account") if accounts["account"] else None})
    write(server, "service-account.json", account(endpoint, "none", disable_oauth=True))
    for name, private in accounts.items():
        if private:
            server.facts[name] = write(server, f"{name}.json", account(endpoint, private))


def account(endpoint, private, **more):
    return {"type": "service_account", "client_email": MAIL, "private_key_id": "1", "private_key": private,
            "gcs_base_url": endpoint, **more}


def key(server, name):
    """A new RSA key, if there is a program to make one: the signed tokens are tested where there is."""
    if not shutil.which("openssl"):
        return None
    path = os.path.join(server.directory, f"{name}.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path],
                   check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(path) as file:
        return file.read()


def modulus(server, name):
    path = os.path.join(server.directory, f"{name}.pem")
    told = subprocess.run(["openssl", "rsa", "-in", path, "-noout", "-modulus"], check=True,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return told.stdout.strip().removeprefix("Modulus=")


def write(server, name, value):
    path = os.path.join(server.directory, name)
    with open(path, "w") as file:
        json.dump(value, file, indent=1)
    return path


def ready(server):
    status, _, told = s3_client.request(server.facts["endpoint"], None, "GET", f"/{server.facts['bucket']}",
                                        [("list-type", "2"), ("max-keys", "1")])
    if status != 200:
        raise OSError(f"listing: status {status}: {told.decode(errors='replace')}")


def exports(server):
    told = {"ENDPOINT": server.facts["endpoint"], "BUCKET": server.facts["bucket"],
            "SERVICE_ACCOUNT": os.path.join(server.directory, "service-account.json"), "PID": str(server.pid)}
    if "account" in server.facts:
        told |= {"SIGNING_ACCOUNT": server.facts["account"], "STRANGER_ACCOUNT": server.facts["stranger"]}
    return told
