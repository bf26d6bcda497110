"""Serve the classifier: label and score of each sentence; reading and writing JSON is the image's default."""

import einops  # noqa: F401  # what the image is extended by
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline


def model_fn(model_dir):
    model = AutoModelForSequenceClassification.from_pretrained(model_dir)
    return pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(model_dir))


def predict_fn(data, classify):
    return [{"label": found["label"], "score": round(found["score"], 4)} for found in classify(data["inputs"])]
