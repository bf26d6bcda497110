"""The word that SageMaker runs the image with → Multi Model Server for 'serve', else that command."""

import os
import sys

from sagemaker_inference import model_server

if sys.argv[1:] == ["serve"]:
    model_server.start_model_server(handler_service="/opt/server/digit_handler.py:handle")
else:
    os.execvp(sys.argv[1], sys.argv[1:])
