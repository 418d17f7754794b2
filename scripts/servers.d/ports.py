"""Free ports on 127.0.0.1."""

import random
import socket

# Below the ports that Linux gives to outgoing connections (from 32768 on): a client that tries
# again and again to reach a server which is being restarted could otherwise be given the very
# port it calls, connect to itself, and keep the server from coming back.
LOWEST, HIGHEST = 10240, 32767


def free(beside=()):
    """A free port, so that port + n is free too for each n of `beside`."""
    for _ in range(1000):
        port = random.randint(LOWEST, HIGHEST - max(beside, default=0))
        if all(is_free(port + n) for n in (0, *beside)):
            return port
    raise OSError("no free port found")


def is_free(port):
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False
