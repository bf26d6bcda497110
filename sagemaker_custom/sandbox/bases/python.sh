#!/bin/sh
# Debian root → the Python that all stand-ins share, with what every toolkit needs and stock images have, too.
set -eu

python3 -m venv /opt/conda
/opt/conda/bin/pip install --no-compile pip==24.0 setuptools==81.0.0 wheel==0.45.1
/opt/conda/bin/pip install --no-compile \
    numpy==1.26.4 scipy==1.14.1 packaging==24.2 boto3==1.35.99 psutil==6.1.1

# Byte code for what every start imports, and only for that.
/opt/conda/bin/python -c 'import boto3, numpy, psutil, scipy.signal'
mkdir -p /opt/ml
