"""PostgreSQL of another release of Debian, unpacked beside the system's."""

import os
import shutil

import fetch as fetching

# The programs of the other release with its own loader and libraries: they find what belongs to them
# beside themselves, so that the ones that start others need no change.
WRAPPERS = r'''
set -eu
to=$1 suite=$2 package=$3 major=$4
# Until trixie libraries are in /lib too, which is a link from then on.
mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
  --setup-hook='mkdir -p "$1/usr/lib" && ln -s usr/lib "$1/lib"' \
  --aptopt='APT::Install-Recommends "false"' --include="$package" "$suite" "$to/root"
bin="$to/root/usr/lib/postgresql/$major/bin"
mv "$bin" "$bin.real"
mkdir "$bin"
loader=$(ls "$to"/root/usr/lib/*/ld-linux-*.so.* | head -n 1)
libraries=$(dirname "$loader")
for program in "$bin.real"/*; do
  name=$(basename "$program")
  cat > "$bin/$name" <<END
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
root=\${here%%/usr/lib/postgresql/*}
exec "\$root${loader#"$to/root"}" --argv0 "\$here/$name" --library-path "\$root${libraries#"$to/root"}" "\$here.real/$name" "\$@"
END
  chmod 755 "$bin/$name"
done
'''


def fetch(major, suite):
    return [os.path.join(programs(f"postgresql-{major}", major, suite), "initdb")]


def clients(major, suite):
    """The directory of the programs that need no server beside them."""
    return programs(f"postgresql-client-{major}", major, suite)


def programs(package, major, suite):
    if not shutil.which("mmdebstrap"):
        raise fetching.Unavailable("mmdebstrap is not installed, and it unpacks the other release")
    root = fetching.fetched(f"{package}-{suite}", "sh",
                            lambda to: ["-c", WRAPPERS, "sh", to, suite, package, str(major)])
    return os.path.join(root, "root", "usr", "lib", "postgresql", str(major), "bin")
