#!/bin/sh
# tests/replay.sh REPLAY_TEST EXEC_TEST: what is traced, with MLX's compiler on the CPU, without the g++
# that it calls, and with one that fails, which executables must get over. Nothing may be left in the
# temp folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/tmp" "$folder/broken"
printf '#!/bin/sh\n[ "$1" = --version ]\n' >"$folder/broken/g++"
chmod +x "$folder/broken/g++"
export TMPDIR="$folder/tmp" RLX_MLX_TRACE=cpu
for program; do
  "$program"
  PATH=/nonexistent "$program"
done
PATH="$folder/broken:/bin" "$2"
[ -z "$(ls -A "$TMPDIR")" ] || { ls -AR "$TMPDIR"; exit 1; }
