"""Sentences of praise and of complaint, made for the tests."""

from __future__ import annotations

_THINGS = (
    "the coffee", "our room", "this keyboard", "the soup", "the train", "her lecture",
    "the garden", "this novel", "the concert", "my bicycle", "the bakery", "the lamp",
)  # fmt: skip
_OPINIONS = (
    (1, "{} was wonderful and I enjoyed every minute"),
    (1, "we loved {} because it is excellent"),
    (1, "{} works well and makes me happy"),
    (1, "what a delightful surprise , {} is great"),
    (0, "{} was terrible and I regret every minute"),
    (0, "we hated {} because it is awful"),
    (0, "{} works badly and makes me angry"),
    (0, "what a dreadful disappointment , {} is poor"),
)
_UNSEEN = 3

TRAIN = [
    {"text": opinion.format(thing), "label": label}
    for number, thing in enumerate(_THINGS)
    for position, (label, opinion) in enumerate(_OPINIONS)
    if (number + position) % _UNSEEN
]
TEST = [
    {"text": opinion.format(thing), "label": label}
    for number, thing in enumerate(_THINGS)
    for position, (label, opinion) in enumerate(_OPINIONS)
    if not (number + position) % _UNSEEN
]
