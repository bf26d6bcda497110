#!/bin/sh
# python-torch → huggingface-inference: Multi Model Server behind Hugging Face's toolkit for SageMaker.
set -eu

/opt/conda/bin/pip install --no-compile \
    transformers==4.46.1 multi-model-server==1.1.11 sagemaker-inference==1.10.1 retrying==1.3.4 pillow==11.0.0
# Its other requirements are for audio: 500 MB with a compiler of their own.
/opt/conda/bin/pip install --no-compile --no-deps sagemaker-huggingface-inference-toolkit==2.6.0
/opt/conda/bin/python -c 'import torch, sagemaker_huggingface_inference_toolkit.serving, mms.model_service_worker'
mkdir -p /opt/ml/model /home/model-server
install -m 0755 /tmp/stand-in/dockerd-entrypoint.py /usr/local/bin/dockerd-entrypoint.py
