#!/bin/sh
# toolkit → sklearn: scikit-learn, and Multi Model Server behind AWS's inference toolkit; one image trains and serves.
set -eu

packages=/opt/conda/lib/python3.11/site-packages
/opt/conda/bin/pip install --no-compile \
    scikit-learn==1.2.1 pandas==2.2.3 multi-model-server==1.1.11 sagemaker-inference==1.10.1
install -m 0644 /tmp/stand-in/stand_in_serving.py /tmp/stand-in/stand_in_sklearn.py "$packages"
install -m 0755 /tmp/stand-in/dockerd-entrypoint.py /usr/local/bin/dockerd-entrypoint.py
install -m 0755 /tmp/stand-in/serve /usr/local/bin/serve
/opt/conda/bin/python -c 'import pandas, sklearn.ensemble, stand_in_serving, stand_in_sklearn, mms.model_service_worker'
mkdir -p /opt/ml/model /opt/ml/models /home/model-server
