"""Entry point of the inference stand-in; like the stock one it splits its words again and never exits by itself."""

import shlex
import signal
import subprocess
import sys

if sys.argv[1:2] == ["serve"]:
    from sagemaker_pytorch_serving_container import serving

    serving.main()
else:
    subprocess.check_call(shlex.split(" ".join(sys.argv[1:])))
signal.pause()
