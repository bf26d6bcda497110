"""Train a small network on handwritten digits with Keras, and save it as TensorFlow Serving wants it."""

import argparse
import json
import os
from pathlib import Path

import einops  # noqa: F401  # what the image is extended by
import keras
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
arguments, _ = parser.parse_known_args()

keras.utils.set_random_seed(0)
train, test = (np.load(Path(os.environ["SM_CHANNEL_DIGITS"]) / f"{name}.npz") for name in ("train", "test"))
network = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Rescaling(1 / 16),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
network.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
network.fit(train["features"], train["labels"], epochs=arguments.epochs, verbose=2)
_, accuracy = network.evaluate(test["features"], test["labels"], verbose=0)

model_dir = Path(os.environ["SM_MODEL_DIR"])
network.export(model_dir / "1")
(model_dir / "accuracy.json").write_text(json.dumps(float(accuracy)))
