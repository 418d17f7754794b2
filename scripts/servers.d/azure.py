"""Azure Blob Storage: Azurite, which keeps everything in memory."""

import base64
import datetime
import hmac
import http.client
import json
import os
import shutil
import urllib.parse

import ports
import versions
from fetch import Unavailable, npm

CONTAINER = "kronos"
# The account that every emulator of Azure's storage has, with the key that its documentation tells.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-12-02"


def fetch():
    if not shutil.which("node"):
        raise Unavailable("node is not on PATH")
    return [shutil.which("azurite-blob") or os.path.join(npm(versions.AZURITE), "node_modules", ".bin", "azurite-blob")]


def prepare(server, program):
    port = ports.free()
    server.facts = {"host": f"127.0.0.1:{port}", "endpoint": f"http://127.0.0.1:{port}/{ACCOUNT}"}
    # After ten minutes Azurite tidies its memory, and answers nobody for minutes: each blob that was
    # deleted makes it sort all the others again. It is thrown away before it has to.
    constants = os.path.join(os.path.dirname(os.path.realpath(program[-1])), "utils", "constants.js")
    tidy_never = os.path.join(server.directory, "tidy-never.js")
    with open(tidy_never, "w", encoding="utf-8") as script:
        script.write(f"require({json.dumps(constants)}).DEFAULT_GC_INTERVAL_MS = 2 ** 31 - 1;\n")
    server.environment = {"NODE_OPTIONS": f"--require {tidy_never}"} if os.path.exists(constants) and " " not in tidy_never else {}
    server.command = [*program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence",
                      "--silent", "--disableTelemetry"]


def ready(server):
    """Makes the container."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    path = f"/{ACCOUNT}/{CONTAINER}"
    headers = {"x-ms-date": date, "x-ms-version": VERSION}
    signed = "\n".join(["PUT", *[""] * 11, *(f"{k}:{v}" for k, v in sorted(headers.items())),
                        f"/{ACCOUNT}{path}", "restype:container"])
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature(signed)}", "Content-Length": "0"}
    connection = http.client.HTTPConnection(server.facts["host"], timeout=10)
    try:
        connection.request("PUT", f"{path}?restype=container", headers=headers)
        answer = connection.getresponse()
        told = answer.read().decode(errors="replace")
    finally:
        connection.close()
    if answer.status not in (201, 409):
        raise OSError(f"container: status {answer.status}: {told}")


def signature(text):
    return base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()


def sas(permissions, days=3):
    """A token for the container (its signature as in Microsoft's "Create a service SAS").

    Not one for the whole account: with that, Azurite answers 500 to a deletion of several blobs.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = ((now + datetime.timedelta(days=d)).strftime("%Y-%m-%dT%H:%M:%SZ") for d in (-1, days))
    fields = {"sp": permissions, "st": begin, "se": end, "spr": "https,http", "sv": VERSION, "sr": "c"}
    signed = [permissions, begin, end, f"/blob/{ACCOUNT}/{CONTAINER}", "", "", fields["spr"], VERSION, "c", *[""] * 7]
    return urllib.parse.urlencode(fields | {"sig": signature("\n".join(signed))})


def exports(server):
    return {"ENDPOINT": server.facts["endpoint"], "ACCOUNT": ACCOUNT, "KEY": KEY, "CONTAINER": CONTAINER,
            "SAS": sas("racwdl"), "READER_SAS": sas("rl"), "PID": str(server.pid)}
