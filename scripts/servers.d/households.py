"""A place of its own for a server that refuses to run as root, or to have its data read by others."""

import os
import pwd
import shutil
import subprocess
import tempfile

from fetch import Unavailable


def make(server, user):
    """A directory that belongs to the user, or to nobody if there is no such user.

    Not in the directory of the other servers: the user may not be able to get there.
    """
    home = tempfile.mkdtemp(prefix=f"kronos-{server.name}-")
    server.facts |= {"leavings": [home], "home": home, "as": []}
    if os.getuid() == 0:
        try:
            user = pwd.getpwnam(user)
        except KeyError:
            user = pwd.getpwnam("nobody")
        os.chown(home, user.pw_uid, user.pw_gid)
        server.facts["as"] = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    os.chmod(home, 0o755)
    return home


def within_reach(directory, inside, home):
    """What was fetched may lie in a home directory that nobody else may enter: links to it elsewhere.

    `inside` is where the root of the other system ends in `directory`.
    """
    root, _, rest = directory.partition(f"/{inside}")
    beside = os.path.join(home, "root")
    shutil.copytree(root, beside, symlinks=True, copy_function=linked)
    return f"{beside}/{inside}{rest}"


def linked(source, target):
    # A device that was read in place of a file would have no end.
    if not os.path.isfile(source):
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def run(server, program, *arguments):
    """Runs a program to its end, as the server's user."""
    done = subprocess.run([*server.facts["as"], program, *arguments], cwd=server.facts["home"],
                          env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{os.path.basename(program)}: {done.stderr.strip() or done.stdout.strip()}")
