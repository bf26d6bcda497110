"""Answers of AWS's JSON services in this process: operation → documents or error codes, as botocore reads them."""

from __future__ import annotations

import json

from botocore.awsrequest import AWSResponse


class JsonAnswers:
    """Answers the requests of a session, those of an operation one after the other, the last one for good."""

    def __init__(self, session):
        self._session = session
        self.asked = []

    def give(self, operation, *answers):
        """Answer ``service.Operation`` with documents, functions of the request, or error codes."""
        left = list(answers)

        def answer(request, **event):
            asked = json.loads(request.body or "{}")
            self.asked.append((operation, asked))
            given = left[0] if len(left) == 1 else left.pop(0)
            given = given(asked) if callable(given) else given
            code, _, message = given.partition(": ") if isinstance(given, str) else ("", "", "")
            document = {"__type": code, "message": message or "told to"} if code else given
            body = _Body(json.dumps(document).encode())
            headers = {"Content-Type": "application/x-amz-json-1.1"}
            return AWSResponse(request.url, 400 if code else 200, headers, body)

        self._session.events.register_first(f"before-send.{operation}", answer)


class _Body:
    def __init__(self, content):
        self._content = content

    def stream(self, **arguments):
        yield self._content
