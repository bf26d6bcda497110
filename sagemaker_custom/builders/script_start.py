"""A training image, asked by a shell in it → whether the SDK v3 can start scripts in it, and which programs it lacks.

The SDK v3 replaces the entry point of the image by a script of its own for bash. That looks for Python and pip, unpacks
the code with tar, and is made executable first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from sagemaker_custom.builders.engine import Engine, OnLine
from sagemaker_custom.errors import BuildError, DiskFullError, EngineUnavailableError, VerificationError
from sagemaker_custom.plan import STARTS_SCRIPTS_LABEL, BuildPlan

logger = logging.getLogger(__name__)

ANSWER_MARK = "sagemaker-custom lacks: "
"""What each line of the answer begins with."""
ANSWER_END = "that is all"
"""The last of them, without which the shell did not come to the end."""
NO_SHELL = "/bin/sh"

_TIMEOUT_S = 300.0
_YES = "yes"
LACKS = "lacks "
"""What the label begins with where something is missing; the names of the programs follow."""
_PACKAGES = {
    NO_SHELL: "bash",
    "/bin/bash": "bash",
    "chmod": "coreutils",
    "cat": "coreutils",
    "python3": "python3",
    "pip3": "python3-pip",
    "tar": "tar",
    "gzip": "gzip",
}
# An archive without a file, packed; written out, since each release of zlib packs in its own way.
_EMPTY_ARCHIVE = (
    r"\037\213\010\000\000\000\000\000\002\003\143\140\030\005\243"
    r"\140\024\214\124\000\000\056\257\265\357\000\004\000\000"
)
# Older shells find any absolute path by "command -v"; and GNU tar needs gzip, while others unpack by themselves.
_PROGRAM = f"""\
lacks() {{ printf '%s%s\\n' '{ANSWER_MARK}' "$1"; }}
has() {{ for name do command -v "$name" > /dev/null 2>&1 && return 0; done; return 1; }}
test -x /bin/bash || lacks /bin/bash
has chmod || lacks chmod
has cat || lacks cat
has python3 python || lacks python3
has pip3 pip || lacks pip3
if ! has tar; then lacks tar
elif ! printf '{_EMPTY_ARCHIVE}' | tar -tzf - > /dev/null 2>&1; then lacks gzip
fi
lacks '{ANSWER_END}'"""
QUESTION = ("/bin/sh", "-c", _PROGRAM)
"""Runs with the PATH that the image has by itself, as a job does."""


def is_asked(plan: BuildPlan) -> bool:
    """Whether scripts may be started in the image of ``plan``: endpoints and processing have other ways."""
    return plan.base.image_scope == "training"


def read_answer(lines: Iterable[str]) -> tuple[str, ...]:
    """Return which programs are missing."""
    said = [line.strip().removeprefix(ANSWER_MARK) for line in lines if line.startswith(ANSWER_MARK)]
    return tuple(said[:-1]) if said[-1:] == [ANSWER_END] else (NO_SHELL,)


def lacking(engine: Engine, image: str) -> tuple[str, ...]:
    """Return which programs an image of the engine lacks.

    Raises:
        VerificationError: It does not answer in time.
        EngineUnavailableError: The engine went away.
        DiskFullError: It has no space for a container.
    """
    lines: list[str] = []
    try:
        engine.run(image, QUESTION, on_line=lines.append, timeout_s=_TIMEOUT_S)
    except (EngineUnavailableError, DiskFullError):
        raise
    except BuildError as error:
        # The engine refuses to start what the image does not have.
        logger.debug("no shell starts in %s: %s", image, error.message)
    except TimeoutError as error:
        raise VerificationError(
            f"the built image does not say which programs it has: {error}", hint="build it again"
        ) from error
    return read_answer(lines)


def check(plan: BuildPlan, lacks: tuple[str, ...], of_base: tuple[str, ...]) -> None:
    """Refuse an image that the extras broke, or in which the job that it is built for cannot start.

    The toolkit, by which scripts start on the SDK v2, needs less; so an image whose base lacks something stays usable.

    Args:
        plan: Of the image.
        lacks: What is missing in it.
        of_base: What is missing in its base already.

    Raises:
        VerificationError: It is refused.
    """
    if set(lacks) - set(of_base) or (lacks and plan.starts_script):
        raise refusal("the built image", lacks, of_base)


def labels(plan: BuildPlan, engine: Engine, *, built: str, base: str, on_line: OnLine) -> Mapping[str, str]:
    """Return what a built image says of itself, unless it is refused.

    Args:
        plan: Of the image.
        engine: Has both images.
        built: The image.
        base: What it was built on.
        on_line: Gets what there is to tell.

    Raises:
        VerificationError: It is refused.
    """
    if not is_asked(plan):
        return {}
    lacks = lacking(engine, built)
    if lacks:
        check(plan, lacks, lacking(engine, base) if plan.steps else lacks)
        on_line(told(lacks))
    return {STARTS_SCRIPTS_LABEL: label_value(lacks)}


def check_found(plan: BuildPlan, labels: Mapping[str, str]) -> None:
    """Refuse an image that is there, when it is known that the job which it is wanted for cannot start in it.

    Raises:
        VerificationError: It is refused.
    """
    value = labels.get(STARTS_SCRIPTS_LABEL, _YES)
    if plan.starts_script and value.startswith(LACKS):
        lacks = tuple(value.removeprefix(LACKS).split())
        raise refusal(f"the image {plan.reference}", lacks, lacks)


def label_value(lacks: tuple[str, ...]) -> str:
    """Return what the image says of itself."""
    return f"{LACKS}{' '.join(lacks)}" if lacks else _YES


def told(lacks: tuple[str, ...]) -> str:
    """Say what follows from what is missing in an image that is built nevertheless."""
    return f"the image lacks {_listed(lacks)}: the SDK v3 starts no script in it"


def refusal(image: str, lacks: Sequence[str], of_base: Sequence[str]) -> VerificationError:
    """Return the error for an image in which something is missing.

    Args:
        image: Which one, for people.
        lacks: What is missing.
        of_base: What of it is missing in the base already.
    """
    lost = [name for name in lacks if name not in of_base]
    if lost:
        return VerificationError(
            f"{image} has lost {_listed(lost)}, which its base has, and without which the SDK v3 starts no entry_point",
            hint="choose other extras or versions of them, or report it against the recipe",
        )
    packages = ", ".join(f'"apt:{package}"' for package in dict.fromkeys(_PACKAGES.get(name, name) for name in lacks))
    return VerificationError(
        f"{image} lacks {_listed(lacks)}, without which the SDK v3 starts no entry_point in it",
        hint=f"add extras=[{packages}], or put it on the PATH in your Dockerfile; without an entry_point the image's "
        "own 'train' is started, which needs none of it",
    )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(names)
