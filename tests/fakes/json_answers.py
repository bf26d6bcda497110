"""Answers of AWS's JSON services in this process: operation → documents or error codes, as botocore reads them."""

from __future__ import annotations

import json
from functools import partial

from botocore.awsrequest import AWSResponse


class JsonAnswers:
    """Answers the requests of a session, those of an operation one after the other, the last one for good."""

    def __init__(self, session):
        self._session = session
        self._answers = {}
        self.asked = []

    def give(self, operation, *answers):
        """Answer ``service.Operation`` with documents, or error codes with a message; until others are given."""
        if operation not in self._answers:
            self._session.events.register_first(f"before-send.{operation}", partial(self._answer, operation))
        self._answers[operation] = list(answers)

    def _answer(self, operation, request, **event):
        self.asked.append((operation, json.loads(request.body or "{}")))
        left = self._answers[operation]
        given = left[0] if len(left) == 1 else left.pop(0)
        code, _, message = given.partition(": ") if isinstance(given, str) else ("", "", "")
        document = {"__type": code, "message": message or "told to"} if code else given
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        return AWSResponse(request.url, 400 if code else 200, headers, _Body(json.dumps(document).encode()))


class _Body:
    def __init__(self, content):
        self._content = content

    def stream(self, **arguments):
        yield self._content
