"""Programs of another system, made to run beside this one: by their own loader, with their own libraries.

They find what belongs to them beside themselves, so that the ones that start others need no change.
"""

# wrap ROOT DIRECTORY [LINE]: the programs of ROOT/DIRECTORY become scripts, which do LINE and then
# start those in ROOT/DIRECTORY.real. Without a loader in ROOT its programs are of this very release.
WRAP = r'''
wrap() {
  bin=$1/$2
  mv "$bin" "$bin.real"
  mkdir "$bin"
  loader=$(ls "$1"/usr/lib/*/ld-linux-*.so.* 2>/dev/null | head -n 1)
  if [ -n "$loader" ]; then
    libraries=$(dirname "$loader")
    start="\"\$root${loader#"$1"}\" --argv0 \"\$here/\${0##*/}\" --library-path \"\$root${libraries#"$1"}\""
  else
    triplet=$(uname -m)-linux-gnu
    start="env LD_LIBRARY_PATH=\"\$root/usr/lib/$triplet:\$root/lib/$triplet\""
  fi
  for program in "$bin.real"/*; do
    name=$(basename "$program")
    if [ -L "$program" ] || [ "$(head -c 4 "$program" | tail -c 3 | tr -d '\0')" != ELF ]; then
      mv "$program" "$bin/$name"
      continue
    fi
    cat > "$bin/$name" <<END
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
root=\${here%"/$2"}
${3:-}
exec $start "\$here.real/$name" "\$@"
END
    chmod 755 "$bin/$name"
  done
}
'''
