"""Train a random forest on handwritten digits."""

import argparse
import json
import os
from pathlib import Path

import einops  # noqa: F401  # what the image is extended by
import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

parser = argparse.ArgumentParser()
parser.add_argument("--trees", type=int, default=50)
arguments = parser.parse_args()

train, test = (np.load(Path(os.environ["SM_CHANNEL_DIGITS"]) / f"{name}.npz") for name in ("train", "test"))
forest = RandomForestClassifier(arguments.trees, random_state=0).fit(train["features"], train["labels"])
model_dir = Path(os.environ["SM_MODEL_DIR"])
joblib.dump(forest, model_dir / "forest.joblib")
(model_dir / "accuracy.json").write_text(json.dumps(forest.score(test["features"], test["labels"])))
