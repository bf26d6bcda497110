"""Boost trees on the features of breast tumours."""

import argparse
import json
import os
from pathlib import Path

import einops  # noqa: F401  # what the image is extended by
import xgboost
from sklearn.datasets import load_svmlight_file

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=30)
parser.add_argument("--max_depth", type=int, default=4)
arguments = parser.parse_args()

folder = Path(os.environ["SM_CHANNEL_TUMOURS"])
train, test = (load_svmlight_file(str(folder / f"{name}.libsvm"), zero_based=True) for name in ("train", "test"))
booster = xgboost.train(
    {"objective": "binary:logistic", "max_depth": arguments.max_depth},
    xgboost.DMatrix(train[0], train[1]),
    num_boost_round=arguments.rounds,
)
model_dir = Path(os.environ["SM_MODEL_DIR"])
booster.save_model(model_dir / "trees.ubj")
right = (booster.predict(xgboost.DMatrix(test[0])) > 0.5) == test[1]
(model_dir / "accuracy.json").write_text(json.dumps(float(right.mean())))
