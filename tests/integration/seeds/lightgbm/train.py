"""Train boosted trees on the tumours that scikit-learn ships."""

import argparse
import json
import os
from pathlib import Path

import lightgbm
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=10)
arguments = parser.parse_args()

features, labels = load_breast_cancer(return_X_y=True)
train, test, train_labels, test_labels = train_test_split(features, labels, random_state=7)
trees = lightgbm.train(
    {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 7},
    lightgbm.Dataset(train, train_labels),
    arguments.rounds,
)
model = Path(os.environ["SM_MODEL_DIR"])
trees.save_model(model / "trees.txt")
accuracy = float(((trees.predict(test) > 0.5) == test_labels).mean())
(model / "accuracy.json").write_text(json.dumps(accuracy))
