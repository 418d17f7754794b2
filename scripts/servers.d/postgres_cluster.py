"""A cluster of PostgreSQL of any version: private, with passwords and TLS, not safe from crashes."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile

import ports
from fetch import Unavailable

PASSWORD = "kronos 'secret'"


def prepare(server, program):
    """Not in the directory of the other servers: its user may not be able to get there."""
    bin_directory = os.path.dirname(program[0])
    home = tempfile.mkdtemp(prefix="kronos-postgres-")
    server.facts = {"leavings": [home], "home": home, "bin": bin_directory, "port": ports.free(), "as": []}
    if os.getuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            user = pwd.getpwnam("nobody")
        os.chown(home, user.pw_uid, user.pw_gid)
        server.facts["as"] = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    os.chmod(home, 0o755)
    if os.getuid() == 0 and not bin_directory.startswith("/usr/"):
        bin_directory = within_reach(bin_directory, home)
        server.facts["bin"] = bin_directory
    data = os.path.join(home, "data")
    secret = os.path.join(home, "password")
    with open(secret, "w") as file:
        file.write(PASSWORD)
    run(server, "initdb", "--no-sync", "--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256",
        "--encoding=UTF8", "--locale=C.UTF-8", "-D", data)
    certificates(server, home)
    with open(os.path.join(data, "pg_hba.conf"), "w") as file:
        file.write("hostssl all tls_only 127.0.0.1/32 scram-sha-256\n"
                   "hostnossl all tls_only 127.0.0.1/32 reject\n"
                   "hostssl all certified 127.0.0.1/32 cert\n"
                   "hostnossl all certified 127.0.0.1/32 reject\n"
                   "local all all scram-sha-256\n"
                   "host all all 127.0.0.1/32 scram-sha-256\n"
                   "host replication all 127.0.0.1/32 scram-sha-256\n")
    settings = {
        "port": server.facts["port"], "listen_addresses": "127.0.0.1", "unix_socket_directories": home,
        "fsync": "off", "max_connections": 60, "shared_buffers": "128MB", "wal_level": "logical",
        "max_prepared_transactions": 5, "log_min_messages": "warning", "logging_collector": "off",
        "max_wal_size": "2GB", "ssl": "on", "ssl_ca_file": os.path.join(home, "ca.pem"),
        "ssl_cert_file": os.path.join(home, "server.pem"), "ssl_key_file": os.path.join(home, "server.key"),
    }
    with open(os.path.join(data, "postgresql.conf"), "a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    server.facts["endpoint"] = f"postgres://postgres@127.0.0.1:{server.facts['port']}"
    server.command = [*server.facts["as"], os.path.join(bin_directory, "postgres"), "-D", data]


def within_reach(bin_directory, home):
    """What was fetched may lie in a home directory that nobody else may enter: links to it elsewhere."""
    root, _, rest = bin_directory.partition("/usr/lib/postgresql/")
    beside = os.path.join(home, "root")
    shutil.copytree(root, beside, symlinks=True, copy_function=linked)
    return os.path.join(beside, "usr", "lib", "postgresql", rest)


def linked(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def run(server, program, *arguments):
    home = server.facts["home"]
    done = subprocess.run([*server.facts["as"], os.path.join(server.facts["bin"], program), *arguments], cwd=home,
                          env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{program}: {done.stderr.strip() or done.stdout.strip()}")


def certificates(server, home):
    """An authority, the server's certificate, a client's; and another authority that signed nothing."""
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


def ready(server):
    with socket.create_connection(("127.0.0.1", server.facts["port"]), 5):
        pass
    ask = [os.path.join(server.facts["bin"], "pg_isready"), "-h", "127.0.0.1", "-p", str(server.facts["port"])]
    if subprocess.run(ask, capture_output=True).returncode != 0:
        raise OSError("it does not take connections yet")


def exports(server):
    facts, home = server.facts, server.facts["home"]
    return {
        "ENDPOINT": facts["endpoint"], "PORT": str(facts["port"]), "PASSWORD": PASSWORD, "SOCKET": home,
        "BIN": facts["bin"], "PID": str(server.pid), "CA": os.path.join(home, "ca.pem"),
        "WRONG_CA": os.path.join(home, "wrong-ca.pem"), "CERT": os.path.join(home, "client.pem"),
        "KEY": os.path.join(home, "client.key"),
    }
