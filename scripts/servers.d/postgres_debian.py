"""PostgreSQL of another release of Debian, unpacked beside the system's."""

import os
import shutil

import fetch as fetching

# The programs of the other release with its own loader and libraries: they find what belongs to them
# beside themselves, so that the ones that start others need no change.
WRAPPERS = r'''
set -eu
to=$1 suite=$2 major=$3
mmdebstrap --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
  --aptopt='APT::Install-Recommends "false"' --include="postgresql-$major" "$suite" "$to/root"
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
    if not shutil.which("mmdebstrap"):
        raise fetching.Unavailable("mmdebstrap is not installed, and it unpacks the other release")
    root = fetching.fetched(f"postgresql-{major}-{suite}", "sh", lambda to: ["-c", WRAPPERS, "sh", to, suite, str(major)])
    # The user that runs it must be able to get there.
    return [os.path.join(root, "root", "usr", "lib", "postgresql", str(major), "bin", "initdb")]
