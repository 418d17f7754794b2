"""SFTP: OpenSSH's server, as whoever calls this, with keys and a list of known hosts of its own."""

import getpass
import os
import pwd
import shlex
import shutil
import subprocess
import sys

import debs
import place
import ports

# The server with the libraries that a small Debian lacks.
PACKAGES = ("openssh-server", "openssh-sftp-server", "openssh-client", "libwrap0", "libnsl2", "libtirpc3",
            "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libkeyutils1", "libcom-err2",
            "libnss-wrapper")


def fetch():
    return [os.path.join(debs.unpacked("openssh", PACKAGES), "usr", "sbin", "sshd")]


def prepare(server, program):
    root = os.path.dirname(os.path.dirname(os.path.dirname(program[0])))
    port, user = ports.free(), getpass.getuser()
    libraries = debs.libraries(root)
    server.facts = {"endpoint": f"sftp://{user}@127.0.0.1:{port}", "user": user, "port": port,
                    "ssh": shutil.which("ssh") or os.path.join(root, "usr", "bin", "ssh")}
    server.environment = {"LD_LIBRARY_PATH": ":".join(libraries)}
    if os.getuid() == 0:
        server.environment |= separation(server, libraries)
    keygen = shutil.which("ssh-keygen") or os.path.join(root, "usr", "bin", "ssh-keygen")
    for name in ("host", "other-host", "user", "limited", "stranger"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path(server, name)], check=True,
                       env=os.environ | server.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    subsystem = os.path.join(root, "usr", "lib", "openssh", "sftp-server")
    # Who comes with this key finds a server that lacks an extension.
    limited = f'command="{subsystem} -P hardlink" {public(server, "limited")}'
    write(server, "authorized_keys", f"{public(server, 'user')}\n{limited}\n")
    for name, key in (("known_hosts", "host"), ("changed_hosts", "other-host"), ("no_hosts", None)):
        write(server, name, f"[127.0.0.1]:{port} {public(server, key)}\n" if key else "")
    write(server, "sshd_config", f"""\
ListenAddress 127.0.0.1
Port {port}
HostKey {quoted(path(server, "host"))}
AuthorizedKeysFile {quoted(path(server, "authorized_keys"))}
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
MaxSessions 100
Subsystem sftp {subsystem}
""")
    server.command = [*program, "-D", "-e", "-f", path(server, "sshd_config")]


def separation(server, libraries):
    """Started by root, sshd wants a directory and a user to put off its privileges; the user is
    made up for this one process where the machine has none."""
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    try:
        pwd.getpwnam("sshd")
        return {}
    except KeyError:
        users = "".join(f"{':'.join(map(str, entry))}\n" for entry in pwd.getpwall())
        write(server, "passwd", f"{users}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n")
        wrapper = os.path.join(libraries[0], "libnss_wrapper.so")
        return {"LD_PRELOAD": wrapper, "NSS_WRAPPER_PASSWD": path(server, "passwd"), "NSS_WRAPPER_GROUP": "/etc/group"}


def path(server, name):
    return os.path.join(server.directory, name)


def quoted(text):
    return f'"{text}"'


def public(server, name):
    with open(path(server, f"{name}.pub")) as file:
        return file.read().strip()


def write(server, name, text):
    with open(path(server, name), "w") as file:
        file.write(text)


def ready(server):
    """Logs in, as the tests will."""
    hosts, key = path(server, "known_hosts"), path(server, "user")
    sftp = subprocess.Popen(
        [server.facts["ssh"], "-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={quoted(hosts)}",
         "-o", "ConnectTimeout=10", "-o", "IdentitiesOnly=yes", "-i", key, "-p", str(server.facts["port"]), "-s",
         f"{server.facts['user']}@127.0.0.1", "sftp"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with sftp:
        try:
            sftp.stdin.write(b"\0\0\0\5\1\0\0\0\3")
            sftp.stdin.flush()
            answer = sftp.stdout.read(9)
        finally:
            sftp.kill()
        # The answer to "this is version 3" is the server's own version.
        if answer[4:] != b"\2\0\0\0\3":
            raise OSError(f"no SFTP: {sftp.stderr.read().decode(errors='replace')}")


def exports(server):
    script = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "servers")
    again = [sys.executable, script]
    environment = ["env", f"KRONOS_SERVERS_DIR={place.directory()}"]
    return {
        "ENDPOINT": server.facts["endpoint"], "USER": server.facts["user"], "SSH": server.facts["ssh"],
        "DIRECTORY": path(server, "data"), "KEY": path(server, "user"), "KNOWN_HOSTS": path(server, "known_hosts"),
        "LIMITED_KEY": path(server, "limited"), "STRANGER_KEY": path(server, "stranger"),
        "CHANGED_HOSTS": path(server, "changed_hosts"), "NO_HOSTS": path(server, "no_hosts"),
        "PID": str(server.pid),
        "KILL": shlex.join([*environment, *again, "kill", "sftp"]),
        "RESTART": shlex.join([*environment, *again, "restart", "sftp"]),
    }
