#!/bin/sh
# An interpreter → the same with pip. Arguments: the interpreter.
set -eu
python=$1
here=$(dirname "$0")

if ! command -v "$python" > /dev/null; then
    echo "the image has no $python, and extras by pip are installed for it: name the interpreter with python=," \
        "or install one in the Dockerfile" >&2
    exit 1
fi
"$python" -m pip --version > /dev/null 2>&1 && exit
"$python" -m ensurepip --upgrade > /dev/null 2>&1 || sh "$here/packages.sh" @pip
if ! "$python" -m pip --version; then
    echo "$python in the image has no pip, and the distribution's is for another Python: install pip for it" >&2
    exit 1
fi
