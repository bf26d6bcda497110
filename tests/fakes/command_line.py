"""The command line in this process: arguments → what it printed, and its exit code."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from sagemaker_custom.cli import main


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self):
        """The one document on standard output; anything beside it is an error."""
        return json.loads(self.out)


def run_cli(*arguments):
    """Run a command as the console script does."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
    return Ended(code=code, out=out.getvalue(), err=err.getvalue())
