#!/bin/sh
# python → with torch, for the stand-ins of PyTorch and of Hugging Face.
set -eu

/opt/conda/bin/pip install --no-compile /tmp/stand-in/torch-*.whl

# Tests that came with the wheel: 130 MB that nothing runs, and every push would carry.
torch=/opt/conda/lib/python3.11/site-packages/torch
rm -r "$torch"/test "$torch"/bin/*[Tt]est*

# Byte code for what every start imports, and only for that: all of torch's would add 150 MB.
/opt/conda/bin/python -c 'import torch, torch.nn, torch.optim'
