#!/bin/sh
# Is this machine's GPU fast, and are the kernels right on it? One command, no network, at most 8 minutes:
#
#     tests/device/run.sh                  real shapes on a GPU; small ones where there is none
#     tests/device/run.sh --small          small shapes
#     tests/device/run.sh --out FOLDER     where device.json goes (default: the folder you are in)
#
# PYTHON names another interpreter. Exit status 0 when all that ran held, 1 otherwise.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
python=${PYTHON:-}
if [ -z "$python" ]; then
    python="$here/../../.venv/bin/python"
    [ -x "$python" ] || python=python3
fi
exec "$python" "$here/check.py" "$@"
