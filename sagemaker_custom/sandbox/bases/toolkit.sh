#!/bin/sh
# python → with the toolkit that reads /opt/ml/input and runs the user's script.
set -eu

/opt/conda/bin/pip install --no-compile sagemaker-training==5.1.4
/opt/conda/bin/python -c 'import sagemaker_training.cli.train'
