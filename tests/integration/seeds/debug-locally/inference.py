"""Images → the label of the nearest image that was trained with; reading and writing is the image's default."""

from pathlib import Path

import faiss
import numpy as np
import torch
from network import Network


def model_fn(model_dir):
    folder = Path(model_dir)
    network = Network()
    network.load_state_dict(torch.load(folder / "network.pt"))
    return network, faiss.read_index(str(folder / "embedded.index")), np.load(folder / "labels.npy")


def predict_fn(images, model):
    network, index, labels = model
    with torch.no_grad():
        embedded = network.embed(images.float()).numpy()
    _, nearest = index.search(embedded, 1)
    return labels[nearest[:, 0]]
