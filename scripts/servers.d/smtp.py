"""A mail server: aiosmtpd with TLS, STARTTLS and a login, which keeps what it gets as files."""

import os
import socket
import sys

import certificates
import ports
import versions
from fetch import pip

USER, PASSWORD = "kronos", "kronos 'secret' @/:ä"


def fetch():
    program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "smtp_server.py")
    return ["env", f"PYTHONPATH={pip(versions.AIOSMTPD)}", sys.executable, program]


def prepare(server, program):
    home = os.path.join(server.directory, "data")
    os.makedirs(os.path.join(home, "mails"))
    certificates.make(home)
    taken = set()
    while len(taken) < 4:
        taken.add(ports.free())
    plain, starttls, tls, login = taken
    server.facts = {"endpoint": f"smtp://127.0.0.1:{plain}", "home": home, "starttls": starttls, "tls": tls,
                    "login": login, "ports": [plain, starttls, tls, login]}
    server.environment = {"SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD}
    server.command = [*program, home, str(plain), str(starttls), str(tls), str(login)]


def ready(server):
    for port in server.facts["ports"]:
        socket.create_connection(("127.0.0.1", port), 1).close()


def exports(server):
    facts = server.facts
    return {
        "URL": facts["endpoint"],
        "STARTTLS_URL": f"smtp+starttls://localhost:{facts['starttls']}",
        "TLS_URL": f"smtps://localhost:{facts['tls']}",
        "LOGIN_URL": f"smtp://127.0.0.1:{facts['login']}",
        "USER": USER,
        "PASSWORD": PASSWORD,
        "CA": os.path.join(facts["home"], "ca.pem"),
        "WRONG_CA": os.path.join(facts["home"], "wrong-ca.pem"),
        "MAILS": os.path.join(facts["home"], "mails"),
        "PID": str(server.pid),
    }
