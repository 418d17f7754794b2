"""What benches/mongodb needs of a driver: databases made, read bare, summed up and dropped.

  mongodb_bare.py URL fill DATABASE        rows of beside.py from stdin
  mongodb_bare.py URL read DATABASE N OF   raw documents to stdout: part N of OF
  mongodb_bare.py URL sum|size|drop DATABASE
  mongodb_bare.py URL version
"""

import datetime
import hashlib
import json
import sys
import uuid

import bson
import pymongo

# Documents of the database `large` have about so many bytes.
LARGE = 1 << 20


def small(line):
    n, u, body, meta, amount, at = line.rstrip("\n").split("\t")
    return {"_id": int(n), "u": bson.Binary.from_uuid(uuid.UUID(u)), "body": body, "meta": json.loads(meta),
            "amount": float(amount), "at": datetime.datetime.fromisoformat(at)}


def documents(database):
    if database == "small":
        yield from map(small, sys.stdin)
        return
    parts, size = [], 0
    n = 0
    for line in sys.stdin:
        parts.append(small(line))
        size += len(line)
        if size >= LARGE:
            yield {"_id": n, "parts": parts}
            parts, size, n = [], 0, n + 1


def fill(database):
    batch, size = [], 0
    for document in documents(database.name):
        batch.append(document)
        size += 500 if database.name == "small" else LARGE
        if size > 8 << 20:
            database.docs.insert_many(batch, ordered=False)
            batch, size = [], 0
    if batch:
        database.docs.insert_many(batch, ordered=False)


def read(database, part, of):
    last = database.docs.find_one(sort=[("_id", -1)])["_id"] + 1
    bounds = [last * n // of for n in (part, part + 1)]
    for batch in database.docs.find_raw_batches({"_id": {"$gte": bounds[0], "$lt": bounds[1]}}, batch_size=20000):
        sys.stdout.buffer.write(batch)


def summed(database):
    digest = 0
    for document in database.docs.find({}, batch_size=20000, sort=[("_id", 1)]):
        digest ^= int.from_bytes(hashlib.blake2b(bson.encode(document), digest_size=16).digest(), "big")
    return f"{digest:032x}"


def main():
    url, what, *rest = sys.argv[1:]
    client = pymongo.MongoClient(url, tz_aware=True)
    if what == "version":
        print(client.server_info()["version"])
        return
    database = client[rest[0]]
    if what == "fill":
        fill(database)
    elif what == "read":
        read(database, int(rest[1]), int(rest[2]))
    elif what == "sum":
        print(summed(database))
    elif what == "size":
        told = database.command("collStats", "docs")
        print(f"{told['count']} documents, {told['size'] / 2**20:.0f} MiB")
    elif what == "drop":
        client.drop_database(rest[0])


if __name__ == "__main__":
    main()
