"""Train a small CNN on handwritten digits, and index its embeddings with faiss."""

import argparse
import os
from pathlib import Path

import faiss
import numpy as np
import torch
from network import DigitNet
from torch import nn

BATCH = 64
LARGEST_PIXEL = 16.0


def load(folder, name):
    """Return images (n, 1, 8, 8) between 0 and 1, and their labels."""
    with np.load(Path(folder) / f"{name}.npz") as data:
        images = torch.from_numpy(data["images"].astype(np.float32) / LARGEST_PIXEL).unsqueeze(1)
        return images, torch.from_numpy(data["labels"].astype(np.int64))


def fit(net, images, labels, epochs):
    """Train ``net`` in place."""
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(net(images[batch])[0], labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch}/{epochs}: loss {total / len(images):.4f}", flush=True)


def main():
    """Read the channel, train, test, and leave the model where SageMaker collects it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--embedding-size", type=int, default=32)
    parser.add_argument("--neighbours", type=int, default=5)
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR"))
    args = parser.parse_args()

    torch.manual_seed(0)
    # Batches of 64 images of 8×8 keep no second core busy; waiting for it costs more than it brings.
    torch.set_num_threads(1)
    images, labels = load(args.train, "train")
    test_images, test_labels = load(args.train, "test")
    print(f"{len(images)} images to learn from, {len(test_images)} held out; torch {torch.__version__}")

    net = DigitNet(args.embedding_size)
    fit(net, images, labels, args.epochs)
    net.eval()
    with torch.no_grad():
        scores, _ = net(test_images)
        _, embeddings = net(images)
    accuracy = (scores.argmax(1) == test_labels).float().mean().item()
    print(f"test accuracy: {accuracy:.4f}")

    index = faiss.IndexFlatL2(args.embedding_size)
    index.add(np.ascontiguousarray(embeddings.numpy()))
    folder = Path(args.model_dir)
    faiss.write_index(index, str(folder / "embeddings.faiss"))
    settings = {"embedding_size": args.embedding_size, "neighbours": args.neighbours}
    torch.save({"weights": net.state_dict(), "labels": labels, **settings}, folder / "digits.pt")
    print(f"faiss {faiss.__version__} indexed {index.ntotal} embeddings of {args.embedding_size} numbers")


if __name__ == "__main__":
    main()
