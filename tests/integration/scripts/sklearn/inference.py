"""Serve the random forest; all but loading it is the image's default."""

from pathlib import Path

import einops  # noqa: F401  # what the image is extended by
import joblib


def model_fn(model_dir):
    return joblib.load(Path(model_dir) / "forest.joblib")
