#!/bin/sh
# toolkit → tensorflow-training: TensorFlow, and the toolkit's module for it.
set -eu

/opt/conda/bin/pip install --no-compile tensorflow-cpu==2.19.0
# It asks for the toolkit of 2023 and for a NumPy that TensorFlow 2.19 does not run with.
/opt/conda/bin/pip install --no-compile --no-deps sagemaker-tensorflow-training==20.5.0
rm -r /opt/conda/lib/python3.11/site-packages/tensorflow/include
/opt/conda/bin/python -c 'import sagemaker_tensorflow_container.training'
install -m 0755 /tmp/stand-in/start_with_right_hostname.sh /start_with_right_hostname.sh
# Where the stock image has its Python. A link would run without the packages of the environment.
install -m 0755 /tmp/stand-in/python /usr/local/bin/python
