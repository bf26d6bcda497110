"""/opt/ml/model and the code that SAGEMAKER_SUBMIT_DIRECTORY names → Multi Model Server, until it ends.

AWS's own packages for this are in no package index. The work is done by AWS's toolkits; what is written here is which
code they are given, and in the handlers beside it what they do where a script has no function of its own.
"""

import os

from sagemaker_inference import environment, model_server
from sagemaker_training import files, modules

CODE = "/opt/ml/code"


def main():
    """Serve with the handler that the image names."""
    submitted = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY", environment.code_dir)
    if submitted != environment.code_dir and not model_server.ENABLE_MULTI_MODEL:
        _use(submitted)
    model_server.start_model_server(handler_service=os.environ["STAND_IN_HANDLER"])


def _use(submitted):
    files.download_and_extract(submitted, CODE)
    if modules.has_requirements(CODE):
        modules.install_requirements(CODE)
    # The workers of the server inherit it; the toolkit appends the folder beside the model.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [CODE, os.environ.get("PYTHONPATH")]))
