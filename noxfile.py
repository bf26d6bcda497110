"""The shared tests in an environment for each line of the SageMaker SDK: ``nox -s v2``, ``nox -s v3``."""

from __future__ import annotations

import nox

SHARED = ("tests/functional/test_both_sdks.py", "tests/functional/test_remote_functions.py")
nox.options.sessions = ["v2", "v3"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def v2(session: nox.Session) -> None:
    """What an ordinary user writes, on the SDK v2."""
    session.install("--editable", ".[v2,sandbox,test]")
    session.run("python", "-m", "pytest", *SHARED, *session.posargs)


@nox.session
def v3(session: nox.Session) -> None:
    """The same, unchanged, on the SDK v3, and what is there for it alone."""
    session.install("--editable", ".[v3,sandbox,test]", "--constraint", "tests/constraints-v3.txt")
    session.run("python", "-m", "pytest", *SHARED, "tests/functional/test_sdk_v3.py", *session.posargs)
