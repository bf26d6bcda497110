"""Train a tiny DistilBERT, made from a configuration, to tell praise from complaint; nothing comes from a hub."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--learning_rate", type=float, default=3e-3)
arguments = parser.parse_args()


def read(name):
    """Return the sentences and the labels of one file."""
    path = Path(os.environ["SM_CHANNEL_SENTENCES"]) / f"{name}.json"
    return zip(*((entry["text"], entry["label"]) for entry in json.loads(path.read_text())), strict=True)


def word_tokenizer(sentences):
    """Return a tokenizer that knows the words of ``sentences``."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(sentences, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    )


class Sentences(torch.utils.data.Dataset):
    """What the Trainer reads."""

    def __init__(self, tokenizer, sentences, labels):
        self.encoded = tokenizer(list(sentences), padding=True)
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {
            **{name: torch.tensor(rows[index]) for name, rows in self.encoded.items()},
            "labels": self.labels[index],
        }


set_seed(0)
sentences, labels = read("train")
tokenizer = word_tokenizer(sentences)
model = DistilBertForSequenceClassification(
    DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=32,
        dim=32,
        hidden_dim=64,
        n_layers=1,
        n_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        id2label={0: "complaint", 1: "praise"},
        label2id={"complaint": 0, "praise": 1},
    )
)
trainer = Trainer(
    model,
    TrainingArguments(
        output_dir="/tmp/checkpoints",
        num_train_epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        per_device_train_batch_size=8,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    ),
    train_dataset=Sentences(tokenizer, sentences, labels),
)
trainer.train()

unseen, truth = read("test")
scores = trainer.predict(Sentences(tokenizer, unseen, truth)).predictions
model_dir = Path(os.environ["SM_MODEL_DIR"])
model.save_pretrained(model_dir)
tokenizer.save_pretrained(model_dir)
(model_dir / "accuracy.json").write_text(json.dumps(float(np.mean(scores.argmax(1) == np.array(truth)))))
