"""Entry point of images that serve; like the stock one it splits its words again and never exits by itself."""

import importlib
import os
import shlex
import signal
import subprocess
import sys

if sys.argv[1:2] == ["serve"]:
    module, function = os.environ["SAGEMAKER_SERVING_MODULE"].split(":")
    getattr(importlib.import_module(module), function)()
else:
    subprocess.check_call(shlex.split(" ".join(sys.argv[1:])))
signal.pause()
