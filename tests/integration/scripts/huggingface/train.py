"""Train a tiny BERT, made from a configuration, to tell praise from complaint; nothing comes from a hub."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
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
    """Return the sentences of one file, with their labels."""
    return Dataset.from_json(str(Path(os.environ["SM_CHANNEL_SENTENCES"]) / f"{name}.json"))


def word_tokenizer(sentences):
    """Return a tokenizer that knows the words of ``sentences``."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(sentences, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    )


set_seed(0)
# Sentences of ten words keep no second core busy; where something else runs, waiting for one takes most of the time.
torch.set_num_threads(1)
train, test = read("train"), read("test")
tokenizer = word_tokenizer(train["text"])
train, test = (part.map(lambda entry: tokenizer(entry["text"])) for part in (train, test))
model = BertForSequenceClassification(
    BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=32,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
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
    train_dataset=train,
    processing_class=tokenizer,
)
trainer.train()

scores = trainer.predict(test).predictions
model_dir = Path(os.environ["SM_MODEL_DIR"])
model.save_pretrained(model_dir)
tokenizer.save_pretrained(model_dir)
(model_dir / "accuracy.json").write_text(json.dumps(float(np.mean(scores.argmax(1) == np.array(test["label"])))))
