#!/bin/sh
# pytorch-training → with Transformers, and what its Trainer needs.
set -eu

/opt/conda/bin/pip install --no-compile transformers==4.46.1 accelerate==1.1.0
/opt/conda/bin/python -c 'import accelerate; from transformers import AutoTokenizer, Trainer, pipeline'
