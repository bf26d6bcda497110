"""Leave in the model what the script was given: arguments, channels, environment."""

import argparse
import os
from pathlib import Path

from report import write_report

parser = argparse.ArgumentParser()
parser.add_argument("--hp1", type=str)
parser.add_argument("--hp2", type=int)
parser.add_argument("--hp3", type=float)
parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
parser.add_argument("--validation", default=os.environ["SM_CHANNEL_VALIDATION"])
parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
arguments = parser.parse_args()

write_report(
    arguments.model_dir,
    arguments=[arguments.hp1, arguments.hp2, arguments.hp3],
    channels={
        name: [path.name for path in Path(getattr(arguments, name)).iterdir()] for name in ("train", "validation")
    },
    submitted=os.environ["SM_MODULE_DIR"],
)
