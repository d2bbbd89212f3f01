#!/bin/sh
# README.md's C program compiles, as C11 and as C++17, and prints what the README says:
# readme.sh README.md INCLUDE-FOLDER LIBRARY CC CXX. Works in the current folder.
set -eu
# block LANGUAGE: the first block of that language.
block() { awk -v open="\`\`\`$1" '$0 == open { on = 1; next } /^```/ && on { exit } on' "$readme"; }
readme=$1 include=$2 library=$3
block c >readme.c
block text >readme.want
[ "$(grep -c . readme.c)" -le 25 ]
run() { # FILE, COMPILER, STANDARD: build and compare
  $2 "-std=$3" -Wall -Wextra -Werror -I "$include" "$1" -o readme_program "$library" \
    "-Wl,-rpath,$(dirname "$library")"
  ./readme_program | diff - readme.want
}
cp readme.c readme.cpp
run readme.c "$4" c11
run readme.cpp "$5" c++17
