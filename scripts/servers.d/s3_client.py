"""Requests to an S3 server, signed (AWS Signature Version 4, the payload itself left unsigned)."""

import datetime
import hashlib
import hmac
import http.client
import urllib.parse


def quoted(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


def query_string(query):
    return "&".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted(query))


def signed(method, host, path, query, headers, keys, region="us-east-1"):
    """The headers to send; `path` is already percent-encoded, `keys` are access key and secret key."""
    access, secret = keys
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    headers = {k.lower(): v.strip() for k, v in headers.items()}
    headers |= {"host": host, "x-amz-date": now, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    covered = sorted(k for k in headers if k == "host" or k.startswith("x-amz-"))
    canonical = "\n".join([
        method, path, query_string(query), *(f"{k}:{headers[k]}" for k in covered), "",
        ";".join(covered), "UNSIGNED-PAYLOAD"])
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={access}/{scope},"
                                f"SignedHeaders={';'.join(covered)},Signature={key.hex()}")
    return headers


def request(endpoint, keys, method, path, query=(), headers=None, body=b"", timeout=10):
    """Status, headers and body of the answer. Without keys the request is not signed."""
    host = urllib.parse.urlsplit(endpoint).netloc
    headers = dict(headers or {})
    if keys:
        headers = signed(method, host, path, query, headers, keys)
    connection = http.client.HTTPConnection(host, timeout=timeout)
    try:
        connection.request(method, path + ("?" + query_string(query) if query else ""), body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def make_bucket(endpoint, keys, bucket, headers=None):
    """Makes a bucket if it is not there."""
    status, _, _ = request(endpoint, keys, "HEAD", f"/{bucket}")
    if status == 404:
        request(endpoint, keys, "PUT", f"/{bucket}", headers=headers)
        status, _, _ = request(endpoint, keys, "HEAD", f"/{bucket}")
    if status != 200:
        raise OSError(f"bucket {bucket}: status {status}")
