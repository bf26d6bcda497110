"""Train a small network on handwritten digits, and keep what it makes of them in an index to search."""

import argparse
import os
import sys
from pathlib import Path

import faiss
import numpy as np
import torch
from network import Network

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--batch-size", type=int, default=16)
arguments = parser.parse_args()

data = np.load(Path(os.environ["SM_CHANNEL_TRAINING"]) / "train.npz")
images, labels = torch.from_numpy(data["images"]), torch.from_numpy(data["labels"])
torch.manual_seed(0)
network = Network()
optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
for epoch in range(arguments.epochs):
    for batch in torch.randperm(len(images)).split(arguments.batch_size):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images[batch]), labels[batch])
        loss.backward()
        optimiser.step()
    sys.stdout.write(f"epoch {epoch}: loss {loss.item():.3f}\n")

index = faiss.IndexFlatL2(Network.SIZE)
with torch.no_grad():
    index.add(network.embed(images).numpy())
model = Path(os.environ["SM_MODEL_DIR"])
torch.save(network.state_dict(), model / "network.pt")
faiss.write_index(index, str(model / "embedded.index"))
np.save(model / "labels.npy", data["labels"])
