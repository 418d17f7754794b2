"""What `smtp.py` starts: four ports of aiosmtpd, and each mail as a file of JSON, read by Python's parser.

  smtp_server.py HOME PLAIN STARTTLS TLS LOGIN

PLAIN takes mail from everybody; STARTTLS and TLS want a login, once encrypted; LOGIN wants one without.
Recipients called `nobody` are refused, those called `busy` asked to come later, and who writes to `slow`
waits for the answer.
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

HOME, PORTS = sys.argv[1], [int(port) for port in sys.argv[2:6]]


class Keeper:
    """Keeps what arrives."""

    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "nobody":
            return "550 5.1.1 there is no such mailbox"
        if name == "busy":
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(to.startswith("slow@") for to in envelope.rcpt_tos):
            await asyncio.sleep(30)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        login = session.auth_data.login.decode() if session.authenticated else None
        kept = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "hello": session.host_name,
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "login": login,
            "type": mail.get_content_type(),
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "parts": [{
                "type": part.get_content_type(),
                "charset": part.get_content_charset(),
                "text": part.get_content(),
            } for part in parts],
            "defects": [str(defect) for part in mail.walk() for defect in part.defects],
            "raw": envelope.content.decode("utf-8", "replace"),
        }
        Keeper.count += 1
        path = os.path.join(HOME, "mails", f"{Keeper.count}.json")
        with open(path + ".new", "w") as file:
            json.dump(kept, file)
        os.rename(path + ".new", path)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, auth_data):
    expected = LoginPassword(os.environ["SMTP_USER"].encode(), os.environ["SMTP_PASSWORD"].encode())
    is_right = isinstance(auth_data, LoginPassword) and auth_data == expected
    return AuthResult(success=is_right, handled=False, auth_data=auth_data)


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(os.path.join(HOME, "server.pem"), os.path.join(HOME, "server.key"))
login = {"authenticator": authenticate, "auth_required": True}
settings = [
    {},
    {"tls_context": context, "require_starttls": True, **login},
    {"ssl_context": context, "auth_require_tls": False, **login},
    {"auth_require_tls": False, **login},
]
controllers = [Controller(Keeper(), hostname="127.0.0.1", port=port, ready_timeout=30, **each)
               for port, each in zip(PORTS, settings)]
for controller in controllers:
    controller.start()
for controller in controllers:
    controller._thread.join()
