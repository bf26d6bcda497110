#!/bin/sh
# An image without 'train' → one that has SageMaker's training toolkit.
# Arguments: an interpreter with pip, then arguments of 'pip install'.
set -eu
python=$1
shift
here=$(dirname "$0")

# The toolkit comes as source with an extension in C.
missing=
{ command -v gcc || command -v cc; } > /dev/null && [ -e /usr/include/stdio.h ] || missing="$missing @compiler"
header=$("$python" -c 'import os, sysconfig; print(os.path.join(sysconfig.get_paths()["include"], "Python.h"))')
[ -e "$header" ] || missing="$missing @headers"
# shellcheck disable=SC2086
[ -z "$missing" ] || sh "$here/packages.sh" $missing
"$python" -m pip install "$@"
program=$("$python" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')/train
command -v train || ln -s "$program" /usr/local/bin/train
mkdir -p /opt/ml/code
