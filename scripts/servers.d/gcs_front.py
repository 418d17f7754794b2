"""Speaks the part of Google Cloud Storage's XML API that `object_store` uses, in front of an S3 server.

  gcs_front.py SETTINGS.json

What differs between the two: tokens instead of signatures, x-goog- instead of x-amz- headers, and
generations (numbers of an object's versions) instead of ETags in preconditions. A generation is
made of the ETag, so two versions with the same content have the same one, unlike at Google.
"""

import base64
import hashlib
import http.client
import http.server
import json
import re
import select
import sys
import time
import urllib.parse
from xml.sax.saxutils import escape

from s3_client import query_string, quoted, signed

BLOCK = 1 << 18
CLASSES = {"STANDARD": "STANDARD", "NEARLINE": "STANDARD_IA", "COLDLINE": "GLACIER_IR", "ARCHIVE": "DEEP_ARCHIVE"}
PLAIN = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-length",
         "content-type", "if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "range")
TOLD = ("accept-ranges", "cache-control", "content-disposition", "content-encoding", "content-language",
        "content-range", "content-type", "etag", "last-modified")
NO_BODY = (204, 304)


class Refused(Exception):
    """An answer of the front itself: status, code and message."""


class Body:
    """What is left of a request's body, for a client of http.client to read."""

    def __init__(self, file, length):
        self.file, self.left = file, length

    def read(self, size=BLOCK):
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        return data


def generation(etag):
    return str(int.from_bytes(hashlib.sha256(etag.strip('"').encode()).digest()[:7], "big") + 1)


def verified(token, mail, modulus):
    """Whether a token is a claim of the account, signed with its key (RS256) and not out of date."""
    try:
        message, _, signature = token.rpartition(".")
        claims = json.loads(decoded(message.split(".")[1]))
        number = int(modulus, 16)
        size = (number.bit_length() + 7) // 8
        # RFC 8017, 9.2: the hash with its name, filled up to the length of the key.
        block = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message.encode()).digest()
        expected = b"\x00\x01" + b"\xff" * (size - len(block) - 3) + b"\x00" + block
        found = pow(int.from_bytes(decoded(signature), "big"), 65537, number).to_bytes(size, "big")
        return found == expected and claims["iss"] == mail and claims["exp"] > time.time()
    except (ValueError, KeyError, IndexError, TypeError):
        return False


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def again(path):
    """A path percent-encoded as the signature wants it: each byte but the plain ones and slashes."""
    return quoted(urllib.parse.unquote(path), "-_.~/")


class Front(http.server.BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the S3 server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = BLOCK
    settings = None
    upstream = None
    spoiled = False

    def log_message(self, *_):
        pass

    def handle_request(self):
        self.body = Body(self.rfile, int(self.headers.get("content-length") or 0))
        self.answered = False
        try:
            self.authorize()
            self.answer()
        except Refused as refused:
            self.refuse(*refused.args)
        except (OSError, http.client.HTTPException) as error:
            print(f"{self.command} {self.path}: {error!r}", file=sys.stderr, flush=True)
            self.forget_upstream()
            self.give_up()
        # The next request on this connection begins behind this body.
        while self.body.left and self.body.read():
            pass
        if self.body.left:
            self.close_connection = True

    def give_up(self):
        """The S3 server is gone, or the client itself."""
        if self.answered:
            self.close_connection = True
            return
        try:
            self.refuse(503, "ServiceUnavailable", "The S3 server does not answer.")
        except OSError:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request

    def authorize(self):
        """No token or an empty one (`disable_oauth`) or a signed one; any other is wrong."""
        token = self.headers.get("authorization", "").removeprefix("Bearer").strip()
        mail, modulus = self.settings["mail"], self.settings["modulus"]
        if token and not (modulus and verified(token, mail, modulus)):
            raise Refused(401, "AuthenticationRequired", "Authentication required.")

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        bucket, _, key = url.path.lstrip("/").partition("/")
        path = again(f"/{bucket}/{key}" if key else f"/{bucket}")
        query = urllib.parse.parse_qsl(url.query, keep_blank_values=True)
        wanted = dict(query).get("generation")
        query = [(k, v) for k, v in query if k != "generation"]
        headers = self.translated()
        if "x-goog-copy-source" in self.headers:
            self.copy(path, headers)
            return
        if expected := self.headers.get("x-goog-if-generation-match"):
            headers |= self.precondition(path, expected)
        if self.command == "DELETE" and not query and self.ask_briefly("HEAD", path).status == 404:
            # S3 says Ok to the deletion of nothing, Google does not.
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        response = self.ask(self.command, path, query, headers, self.body)
        if wanted and response.status < 400 and generation(response.getheader("etag", "")) != wanted:
            self.forget_upstream()
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        self.pass_on(response, whole=self.command == "POST")

    def translated(self):
        """The headers of the request in S3's words."""
        headers = {k: self.headers[k] for k in PLAIN if k in self.headers}
        for name, value in self.headers.items():
            if name.lower().startswith("x-goog-meta-"):
                headers["x-amz-meta-" + name[len("x-goog-meta-"):].lower()] = value
        if stored := self.headers.get("x-goog-storage-class"):
            if stored not in CLASSES:
                raise Refused(400, "InvalidArgument", "Invalid argument.")
            headers["x-amz-storage-class"] = CLASSES[stored]
        if self.headers.get("transfer-encoding"):
            raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        return headers

    def precondition(self, path, expected):
        if expected == "0":
            return {"if-none-match": "*"}
        etag = self.ask_briefly("HEAD", path).getheader("etag")
        if not etag or generation(etag) != expected:
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
        return {"if-match": etag}

    def copy(self, path, headers):
        """Reads and writes again, since not every S3 server heeds a precondition of its own copy."""
        source = again("/" + self.headers["x-goog-copy-source"].lstrip("/"))
        if expected := self.headers.get("x-goog-if-generation-match"):
            headers |= self.precondition(path, expected)
        found = self.ask("GET", source, [], {})
        if found.status != 200:
            self.pass_on(found)
            return
        kept = {k.lower(): v for k, v in found.getheaders() if k.lower().startswith((*PLAIN, "x-amz-meta-"))}
        content = found.read()
        written = self.ask("PUT", path, [], headers | kept, content)
        if written.status != 200:
            self.pass_on(written)
            return
        etag = written.getheader("etag", "")
        written.read()
        self.send(200, {"etag": etag, "x-goog-generation": generation(etag), "content-type": "application/xml"},
                  f"<?xml version='1.0' encoding='UTF-8'?><CopyObjectResult><ETag>{escape(etag)}</ETag>"
                  f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}</LastModified>"
                  "</CopyObjectResult>".encode())

    def ask(self, method, path, query, headers, body=None):
        """Sends a request to the S3 server, and gives its response with its body still to be read."""
        if self.spoiled or self.upstream and self.upstream.sock and select.select([self.upstream.sock], [], [], 0)[0]:
            self.forget_upstream()
        if not self.upstream:
            self.upstream = http.client.HTTPConnection(self.settings["host"], timeout=120, blocksize=BLOCK)
        headers = signed(method, self.settings["host"], path, query, headers, self.settings["keys"],
                         self.settings["region"])
        try:
            self.upstream.request(method, path + ("?" + query_string(query) if query else ""), body, headers)
        except (BrokenPipeError, ConnectionResetError):
            # Refused before all of the body was sent: the response is there nevertheless.
            self.spoiled = True
        return self.upstream.getresponse()

    def ask_briefly(self, method, path):
        response = self.ask(method, path, [], {})
        response.read()
        return response

    def forget_upstream(self):
        if self.upstream:
            self.upstream.close()
        self.upstream, self.spoiled = None, False

    def pass_on(self, response, whole=False):
        """Gives the client what the S3 server answered. A body that is `whole` may hide an error."""
        headers = {k: response.getheader(k) for k in TOLD if response.getheader(k) is not None}
        for name, value in response.getheaders():
            if name.lower().startswith("x-amz-meta-"):
                headers["x-goog-meta-" + name[len("x-amz-meta-"):].lower()] = value
        if stored := response.getheader("x-amz-storage-class"):
            headers["x-goog-storage-class"] = next((k for k, v in CLASSES.items() if v == stored), "STANDARD")
        if whole or response.status >= 400 or response.length is None:
            content = response.read()
            status = response.status
            if status == 200 and re.search(b"<Error[ >]", content):
                status = 500
            if etag := re.search(b"<ETag>(.*?)</ETag>", content):
                headers["x-goog-generation"] = generation(etag[1].decode().replace("&quot;", '"').replace("&#34;", '"'))
            self.send(status, headers, content, response.getheader("content-length"))
            return
        if "etag" in headers and "uploadId=" not in self.path:
            headers |= {"x-goog-generation": generation(headers["etag"]), "x-goog-metageneration": "1"}
        self.start(response.status, headers, response.getheader("content-length"))
        left = response.length if self.command != "HEAD" else 0
        while left:
            data = response.read(min(BLOCK, left))
            if not data:
                # The client must see that something is missing.
                self.close_connection = True
                self.forget_upstream()
                return
            left -= len(data)
            self.wfile.write(data)
        response.read()

    def refuse(self, status, code, message):
        self.send(status, {"content-type": "application/xml; charset=UTF-8"},
                  f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
                  f"<Message>{escape(message)}</Message></Error>".encode())

    def send(self, status, headers, content, length=None):
        head = self.command == "HEAD"
        self.start(status, headers, length if head and length else len(content))
        if not head and status not in NO_BODY:
            self.wfile.write(content)

    def start(self, status, headers, length):
        self.answered = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in NO_BODY:
            self.send_header("content-length", str(length or 0))
        self.end_headers()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def main():
    with open(sys.argv[1]) as file:
        settings = json.load(file)
    settings["host"] = urllib.parse.urlsplit(settings["endpoint"]).netloc
    Front.settings = settings
    Server(("127.0.0.1", settings["port"]), Front).serve_forever()


main()
