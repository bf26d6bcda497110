#!/bin/sh
# Debian root → the Python and torch that both stand-ins share, with what both toolkits need and stock images have, too.
set -eu

python3 -m venv /opt/conda
/opt/conda/bin/pip install --no-compile pip==24.0 setuptools==81.0.0 wheel==0.45.1
/opt/conda/bin/pip install --no-compile \
    /tmp/stand-in/torch-*.whl numpy==1.26.4 scipy==1.14.1 packaging==24.2 boto3==1.35.99 psutil==6.1.1

# Tests that came with the wheel: 130 MB that nothing runs, and every push would carry.
torch=/opt/conda/lib/python3.11/site-packages/torch
rm -r "$torch"/test "$torch"/bin/*[Tt]est*

# Byte code for what every start imports, and only for that: all of torch's would add 150 MB.
/opt/conda/bin/python -c 'import boto3, numpy, psutil, scipy.signal, torch, torch.nn, torch.optim'
mkdir -p /opt/ml
