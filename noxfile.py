"""The tests that both lines of the SageMaker SDK share, in an environment for each: ``nox -s v2``, ``nox -s v3``."""

from __future__ import annotations

from pathlib import Path

import nox

TESTS = Path("tests")
SHARED = sorted(str(path) for path in TESTS.glob("*/test_*both_sdks.py"))
ON_V3 = sorted(str(path) for path in TESTS.glob("*/test_*v3.py"))
nox.options.sessions = ["v2", "v3"]
nox.options.reuse_existing_virtualenvs = True


@nox.session
def v2(session: nox.Session) -> None:
    """What users write, on the SDK v2."""
    session.install("--editable", ".[v2,sandbox,test]")
    session.run("python", "-m", "pytest", *SHARED, *session.posargs)


@nox.session
def v3(session: nox.Session) -> None:
    """The same, unchanged, on the SDK v3, and what is there for it alone."""
    session.install("--editable", ".[v3,sandbox,test]", "--constraint", "tests/constraints-v3.txt")
    session.run("python", "-m", "pytest", *SHARED, *ON_V3, *session.posargs)
