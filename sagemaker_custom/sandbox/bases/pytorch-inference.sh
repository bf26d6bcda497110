#!/bin/sh
# python-torch → pytorch-inference: TorchServe behind the toolkit that calls model_fn, input_fn, predict_fn and output_fn.
set -eu

/opt/conda/bin/pip install --no-compile \
    torchserve==0.12.0 torch-model-archiver==0.12.0 pyyaml==6.0.2 sagemaker-pytorch-inference==2.0.25
# The package above brings an older copy of this one in the same folder, without its data files: the last one wins.
/opt/conda/bin/pip install --no-compile --no-deps --force-reinstall sagemaker-inference==1.10.1
/opt/conda/bin/python -c 'import sagemaker_pytorch_serving_container.serving, ts.model_service_worker'
mkdir -p /opt/ml/model /home/model-server
install -m 0755 /tmp/stand-in/dockerd-entrypoint.py /usr/local/bin/dockerd-entrypoint.py
