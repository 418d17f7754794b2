"""A cluster of PostgreSQL of any version: private, with passwords and TLS, not safe from crashes."""

import os
import socket
import subprocess

import certificates
import households
import ports

PASSWORD = "kronos 'secret'"


def prepare(server, program):
    bin_directory = os.path.dirname(program[0])
    server.facts = {"bin": bin_directory, "port": ports.free()}
    home = households.make(server, "postgres")
    if os.getuid() == 0 and not bin_directory.startswith("/usr/"):
        bin_directory = households.within_reach(bin_directory, "usr/lib/postgresql", home)
        server.facts["bin"] = bin_directory
    data = os.path.join(home, "data")
    secret = os.path.join(home, "password")
    with open(secret, "w") as file:
        file.write(PASSWORD)
    households.run(server, os.path.join(bin_directory, "initdb"), "--no-sync", "--username=postgres",
                   f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "-D", data)
    certificates.make(home)
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
