"""Read the channel, the hyperparameters and nothing of AWS; leave the mean of each class as the model."""

import json
import pickle
from pathlib import Path

digits = int(json.loads(Path("/opt/ml/input/config/hyperparameters.json").read_text())["digits"])
data = pickle.loads(Path("/opt/ml/input/data/training/output_dict").read_bytes())

means = {}
for label in sorted(set(data["y_train"])):
    rows = [row for row, found in zip(data["x_train"], data["y_train"], strict=True) if found == label]
    means[label] = [round(sum(column) / len(rows), digits) for column in zip(*rows, strict=True)]


def nearest(row):
    return min(means, key=lambda label: sum((a - b) ** 2 for a, b in zip(row, means[label], strict=True)))


right = [nearest(row) == label for row, label in zip(data["x_test"], data["y_test"], strict=True)]
accuracy = sum(right) / len(right)
Path("/opt/ml/model/means.json").write_text(json.dumps({"means": means, "accuracy": accuracy}))
