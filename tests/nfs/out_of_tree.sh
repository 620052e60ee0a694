#!/bin/sh
# out_of_tree.sh CMAKE BUILD EXAMPLE: installs the SDK of BUILD into an empty prefix, copies EXAMPLE
# out of the tree, builds it against the prefix, and runs its tests.
set -eu
cmake=$1 build=$2 example=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cmake" --install "$build" --prefix "$work/prefix" --component sdk >/dev/null
cp -r "$example" "$work/source"
"$cmake" -S "$work/source" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix"
"$cmake" --build "$work/build"
cd "$work/build"
ctest --output-on-failure
exports=$(nm -D --defined-only quota.so | wc -l)
test "$exports" -eq 1 || { echo "the image exports $exports symbols, not 1"; exit 1; }
# Nothing of the prefix may lead back into the source tree.
if grep -rl "$(dirname "$example")" "$work/prefix"; then
  echo "the installed SDK refers to the source tree"; exit 1
fi
