"""Certificates for TLS, for some days: of an authority, of a server and of a client.

Besides there is another authority that has signed nothing.
"""

import os
import shutil
import subprocess

from fetch import Unavailable


def make(home):
    """Writes them into `home`, with their keys; the owner of `home` can read the server's."""
    openssl = shutil.which("openssl")
    if not openssl:
        raise Unavailable("openssl is not installed, and it makes the certificates for TLS")

    def call(*arguments):
        done = subprocess.run([openssl, *arguments], cwd=home, capture_output=True, text=True)
        if done.returncode != 0:
            raise Unavailable(f"openssl: {done.stderr.strip()}")

    def new(name, subject, *arguments):
        call("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", f"{name}.key", "-subj", f"/CN={subject}", *arguments)

    for name in ("ca", "wrong-ca"):
        new(name, f"Kronos tests {name}", "-x509", "-days", "30", "-out", f"{name}.pem")
    with open(os.path.join(home, "names"), "w") as file:
        file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, subject in (("server", "localhost"), ("client", "certified")):
        new(name, subject, "-out", f"{name}.csr")
        # Without an extension a certificate is of version 1, which nobody takes any more.
        call("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", "30", "-extfile", "names", "-out", f"{name}.pem")
    owner = os.stat(home)
    for name in ("server.key", "server.pem", "ca.pem"):
        os.chown(os.path.join(home, name), owner.st_uid, owner.st_gid)
    os.chmod(os.path.join(home, "server.key"), 0o600)
