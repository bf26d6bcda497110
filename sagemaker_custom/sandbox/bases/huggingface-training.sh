#!/bin/sh
# pytorch-training → with Transformers, what its Trainer needs, and Datasets.
set -eu

/opt/conda/bin/pip install --no-compile \
    transformers==4.46.1 accelerate==1.1.0 datasets==3.1.0 'pyarrow<25'
/opt/conda/bin/python -c 'import accelerate, datasets; from transformers import AutoTokenizer, Trainer, pipeline'
