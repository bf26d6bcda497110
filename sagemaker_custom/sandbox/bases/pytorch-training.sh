#!/bin/sh
# python-torch → pytorch-training: the toolkit that reads /opt/ml/input and runs the user's script, with its module for PyTorch.
set -eu

/opt/conda/bin/pip install --no-compile sagemaker-training==5.1.4 sagemaker-pytorch-training==3.0.0
/opt/conda/bin/python -c 'import sagemaker_pytorch_container.training'
install -m 0755 /tmp/stand-in/start_with_right_hostname.sh /start_with_right_hostname.sh
