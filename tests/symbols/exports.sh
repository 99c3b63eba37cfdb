#!/usr/bin/env bash
# exports.sh LIBRARY.so: a shared library exports names of attune and no instance of a standard template.
set -euo pipefail

exports=$(nm --dynamic --defined-only --demangle "$1")
if ! grep -q 'attune::.*::Recommender::open' <<< "$exports"; then
  echo "expected the facade among the exports of $1" >&2
  exit 1
fi
if grep -vE '^[0-9a-f]+ [A-Za-z] ((typeinfo|typeinfo name|vtable|VTT) for |double |void )?attune::' <<< "$exports"; then
  echo "the exports above are no names of attune" >&2
  exit 1
fi
echo "$(wc -l <<< "$exports") exports, all of attune"
