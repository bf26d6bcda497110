"""Serve the digits: images in; for each its class, and the training images nearest to it, found by faiss."""

import io
import json
from pathlib import Path

import faiss
import numpy as np
import torch
from network import DigitNet

JSON, NPY = "application/json", "application/x-npy"
LARGEST_PIXEL = 16.0


def model_fn(model_dir):
    """Load what train.py saved."""
    # A worker has a few cores at most, and images of 8×8 do not keep even those busy.
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    saved = torch.load(Path(model_dir) / "digits.pt", map_location="cpu", weights_only=True)
    net = DigitNet(saved["embedding_size"])
    net.load_state_dict(saved["weights"])
    net.eval()
    index = faiss.read_index(str(Path(model_dir) / "embeddings.faiss"))
    return {"net": net, "index": index, "labels": saved["labels"].numpy(), "neighbours": saved["neighbours"]}


def input_fn(body, content_type):
    """Return images (n, 8, 8) from a NumPy file, or from JSON with or without ``{"images": …}`` around it."""
    if content_type == NPY:
        images = np.load(io.BytesIO(body), allow_pickle=False)
    elif content_type == JSON:
        document = json.loads(body)
        images = np.array(document["images"] if isinstance(document, dict) else document)
    else:
        raise ValueError(f"{content_type} is not supported: send {NPY} or {JSON}")
    if images.ndim != 3 or images.shape[1:] != (8, 8):
        raise ValueError(f"images of shape (n, 8, 8) are expected, not {images.shape}")
    return images.astype(np.float32) / LARGEST_PIXEL


def predict_fn(images, model):
    """Return classes (n) and, for each image, ids, labels and distances of its neighbours (n, k)."""
    with torch.no_grad():
        scores, embeddings = model["net"](torch.from_numpy(images).unsqueeze(1))
    distances, ids = model["index"].search(np.ascontiguousarray(embeddings.numpy()), model["neighbours"])
    return {"classes": scores.argmax(1).numpy(), "ids": ids, "labels": model["labels"][ids], "distances": distances}


def output_fn(prediction, accept):
    """Return JSON with one object an image; as NumPy, one row an image: its class, then its neighbours' ids."""
    if accept == NPY:
        buffer = io.BytesIO()
        np.save(buffer, np.column_stack([prediction["classes"], prediction["ids"]]), allow_pickle=False)
        return buffer.getvalue()
    rows = zip(*(prediction[key].tolist() for key in ("classes", "ids", "labels", "distances")), strict=True)
    return json.dumps(
        [
            {
                "class": digit,
                "neighbours": [
                    {"id": i, "label": label, "distance": distance}
                    for i, label, distance in zip(ids, labels, distances, strict=True)
                ],
            }
            for digit, ids, labels, distances in rows
        ]
    )
