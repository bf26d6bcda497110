"""Serve the trees; all but loading them is the image's default."""

from pathlib import Path

import einops  # noqa: F401  # what the image is extended by
import xgboost


def model_fn(model_dir):
    return xgboost.Booster(model_file=Path(model_dir) / "trees.ubj")
