#!/bin/sh
# Installs what the build needs from the system's packages: with apt-get (as root or through sudo) or
# with brew. Does nothing when all is there. Where it cannot install, it names what is missing.
set -eu

apt_missing=
brew_missing=
# need "TEST" APT-PACKAGE BREW-FORMULA: what to install where the test fails ("-": nothing).
need() {
  if ! sh -c "$1" >/dev/null 2>&1; then
    apt_missing="$apt_missing $2"
    brew_missing="$brew_missing $3"
  fi
}
need "command -v cc" gcc -
need "command -v c++" g++ -
need "command -v cmake" cmake cmake
need "command -v ninja" ninja-build ninja
need "command -v pkg-config" pkg-config pkgconf
need "pkg-config --exists libcjson" libcjson-dev cjson
need "pkg-config --exists libzip" libzip-dev libzip
need "pkg-config --exists libutf8proc" libutf8proc-dev utf8proc
need "pkg-config --exists cmocka" libcmocka-dev cmocka
if [ "$(uname)" != Darwin ]; then
  need "pkg-config --exists openblas" libopenblas-dev openblas
fi
[ -n "$apt_missing" ] || exit 0

fail() {
  echo "setup.sh: $1; please install:$2" >&2
  exit 1
}
if command -v apt-get >/dev/null; then
  as_root=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "not root, and there is no sudo" "$apt_missing"
    as_root=sudo
  fi
  echo "installing:$apt_missing" >&2
  # $as_root and the list are split into words on purpose.
  { $as_root apt-get -qq update && $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends $apt_missing; } >&2 ||
    fail "apt-get failed" "$apt_missing"
elif command -v brew >/dev/null; then
  case " $brew_missing " in *" - "*) fail "there is no C compiler" " xcode-select --install" ;; esac
  brew install --quiet $brew_missing >&2 || fail "brew failed" "$brew_missing"
else
  fail "there is neither apt-get nor brew (names as in Debian)" "$apt_missing"
fi
