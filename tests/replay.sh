#!/bin/sh
# tests/replay.sh PROGRAM...: tests of traces again, with MLX's compiler on the CPU and then without the
# g++ that it calls. Nothing may be left in the temp folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TMPDIR="$folder" RLX_MLX_TRACE=cpu
for program; do
  "$program"
  PATH=/nonexistent "$program"
done
[ -z "$(ls -A "$folder")" ] || { ls -AR "$folder"; exit 1; }
