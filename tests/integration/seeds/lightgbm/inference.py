"""Load the trees; they have a 'predict', and JSON is the default."""

from pathlib import Path

import lightgbm


def model_fn(model_dir):
    return lightgbm.Booster(model_file=Path(model_dir, "trees.txt"))
