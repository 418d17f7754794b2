"""A server of MySQL or MariaDB of any version: private, with a password and TLS, not safe from crashes."""

import os
import subprocess

import certificates
import households
import ports
from fetch import Unavailable

PASSWORD = "kronos 'secret'"

# At this time MariaDB reads the tables of users only when told to; it has made some of no use here.
MARIADB_FIRST = """
DELETE FROM mysql.global_priv WHERE User = 'root' AND Host NOT IN ('localhost', '127.0.0.1');
FLUSH PRIVILEGES;
"""
# Its first transactions shall be those of the tests.
MYSQL_FIRST = """
SET SESSION sql_log_bin = 0;
"""
# Those who log in. TLS is asked of the last two; `certified` shows the client's certificate.
USERS = """
ALTER USER root@localhost IDENTIFIED BY {password};
CREATE USER IF NOT EXISTS root@'127.0.0.1';
ALTER USER root@'127.0.0.1' IDENTIFIED BY {password};
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
CREATE USER tls_only@'%' IDENTIFIED BY {password} REQUIRE SSL;
GRANT ALL ON *.* TO tls_only@'%' WITH GRANT OPTION;
CREATE USER certified@'%' IDENTIFIED BY {password} REQUIRE X509;
GRANT ALL ON *.* TO certified@'%' WITH GRANT OPTION;
"""


def prepare(server, program):
    home = households.make(server, "mysql")
    base = os.path.dirname(os.path.dirname(program[0]))
    inside = os.path.relpath(program[0], base)
    if os.getuid() == 0 and not base.startswith(("/usr", "/opt")):
        base = households.within_reach(base, "usr", home)
    daemon, programs, port = os.path.join(base, inside), os.path.join(base, "bin"), ports.free()
    maria = os.path.basename(daemon) == "mariadbd"
    scheme = "mariadb" if maria else "mysql"
    server.facts |= {"bin": programs, "client": os.path.join(programs, scheme), "port": port,
                     "socket": os.path.join(home, "socket"), "endpoint": f"{scheme}://root@127.0.0.1:{port}"}
    certificates.make(home)
    owner = os.stat(home)
    for name in ("data", "temporary"):
        os.mkdir(os.path.join(home, name), 0o700)
        os.chown(os.path.join(home, name), owner.st_uid, owner.st_gid)
    options = settings(server, base) | (MARIADB if maria else MYSQL)
    file = write(home, "my.cnf", "[mysqld]\n" + "".join(f"{name} = {value}\n" for name, value in options.items()))
    quoted = "'" + PASSWORD.replace("'", "''") + "'"
    users = write(home, "users.sql", (MARIADB_FIRST if maria else MYSQL_FIRST) + USERS.format(password=quoted))
    if maria:
        households.run(server, os.path.join(programs, "mariadb-install-db"), f"--defaults-file={file}",
                       f"--basedir={base}", f"--extra-file={users}", "--auth-root-authentication-method=normal",
                       "--skip-test-db", "--skip-name-resolve")
    else:
        households.run(server, daemon, f"--defaults-file={file}", "--initialize-insecure", f"--init-file={users}")
    server.command = [*server.facts["as"], daemon, f"--defaults-file={file}"]


def write(home, name, text):
    path = os.path.join(home, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def settings(server, base):
    home = server.facts["home"]
    share = next((path for path in (os.path.join(base, "share", name) for name in ("mysql", "mariadb"))
                  if os.path.isdir(os.path.join(path, "charsets"))), None)
    if not share:
        raise Unavailable(f"no charsets below {base}/share")
    # What makes a crash safe costs time, and here nobody needs it.
    return {
        "basedir": base, "lc_messages_dir": share, "character_sets_dir": os.path.join(share, "charsets"),
        "datadir": os.path.join(home, "data"), "tmpdir": os.path.join(home, "temporary"),
        "pid_file": os.path.join(home, "pid"), "socket": server.facts["socket"], "port": server.facts["port"],
        "bind_address": "127.0.0.1", "skip_name_resolve": "ON", "max_connections": 200,
        "max_allowed_packet": "64M", "local_infile": "ON", "secure_file_priv": '""', "event_scheduler": "OFF",
        "server_id": 1, "log_bin": "binlog", "binlog_format": "ROW", "binlog_row_image": "FULL", "sync_binlog": 0,
        "innodb_flush_log_at_trx_commit": 2, "innodb_doublewrite": "OFF", "innodb_buffer_pool_size": "128M",
        "ssl_ca": os.path.join(home, "ca.pem"), "ssl_cert": os.path.join(home, "server.pem"),
        "ssl_key": os.path.join(home, "server.key"),
    }


MARIADB = {"performance_schema": "OFF", "plugin_load_add": "auth_ed25519"}
MYSQL = {"gtid_mode": "ON", "enforce_gtid_consistency": "ON", "mysqlx": "OFF", "auto_generate_certs": "OFF"}


def ready(server):
    facts = server.facts
    asked = subprocess.run([facts["client"], "--no-defaults", "--host=127.0.0.1", f"--port={facts['port']}",
                            "--user=root", "--execute=SELECT 1"], env=os.environ | {"MYSQL_PWD": PASSWORD},
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if asked.returncode != 0:
        raise OSError(asked.stderr.strip())


def exports(server):
    facts, home = server.facts, server.facts["home"]
    return {
        "ENDPOINT": facts["endpoint"], "PORT": str(facts["port"]), "PASSWORD": PASSWORD, "SOCKET": facts["socket"],
        "BIN": facts["bin"], "PID": str(server.pid), "CA": os.path.join(home, "ca.pem"),
        "WRONG_CA": os.path.join(home, "wrong-ca.pem"), "CERT": os.path.join(home, "client.pem"),
        "KEY": os.path.join(home, "client.key"),
    }
