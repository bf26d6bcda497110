"""The program that SageMaker starts in an image that serves → the model server with the handler beside this file."""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - any Python 3 has to run this


def main() -> None:
    """Start the model server and wait for its end."""
    # The workers are processes of their own, which import the handler by its name.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [FOLDER, os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, FOLDER)
    from sagemaker_inference import model_server

    model_server.start_model_server(handler_service="serving_handler:handle")


if __name__ == "__main__":
    main()
