"""A lock that somebody gives, and the plan that it is for → nothing, or an error that says what does not fit. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from sagemaker_custom.builders.interface import ImageBuilder
from sagemaker_custom.errors import UsageError
from sagemaker_custom.inventory import Inventory
from sagemaker_custom.plan import BuildPlan, LockedInstall
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.wheels.lock import Lock
from sagemaker_custom.wheels.target import marker_environment


def replaceable(plan: BuildPlan) -> tuple[str, ...]:
    """Return the packages of the base that the steps of ``plan`` may replace."""
    return tuple(sorted({name for step in plan.steps if isinstance(step, PipStep) for name in step.replaces}))


def requirement_of(text: str) -> Requirement:
    """Return the requirement in a line of a requirements file, without its hashes."""
    return Requirement(text.partition(" --")[0])


def check_lock(lock: Lock, plan: BuildPlan, inventory: Inventory) -> None:
    """Make sure that a lock can be what ``plan`` installs on a base.

    Args:
        lock: As it was read from a file or an image.
        plan: Says what is asked for, and what is held.
        inventory: Of the base.

    Raises:
        UsageError: It is for another Python, lacks what is asked for, or replaces what is held; names each.
    """
    problems = (*_of_target(lock, inventory), *_of_held(lock, plan, inventory), *_of_wanted(lock, plan, inventory))
    if problems:
        raise UsageError(
            f"the lock does not fit {plan.base.repository}:{plan.base.tag} with what is asked for: "
            + "; ".join(problems),
            hint="make one of an image that is built for the same request: sagemaker-custom lock IMAGE",
        )


def with_lock(plan: BuildPlan, lock: Lock) -> BuildPlan:
    """Return ``plan`` for a builder that runs pip, so that pip installs the files of a lock by their hashes.

    Args:
        plan: Of pip steps alone.
        lock: As it was read from a file or an image.

    Raises:
        UsageError: It is for another platform, replaces what may not be replaced, or names a file of a machine.
    """
    allowed = {canonicalize_name(name) for name in replaceable(plan)}
    problems = [
        f"it replaces {name} of the base, which takes replace=[{name!r}]"
        for name in lock.replaced
        if canonicalize_name(name) not in allowed
    ]
    problems += [
        f"it has {wheel.filename} from a folder of the machine that made it"
        for wheel in lock.wheels
        if wheel.url.startswith("file:")
    ]
    if lock.platform != plan.document["platform"]:
        problems.append(f"it is for {lock.platform}, the image for {plan.document['platform']}")
    if problems:
        raise UsageError(
            f"the lock does not fit {plan.base.repository}:{plan.base.tag} with what is asked for: "
            + "; ".join(problems),
            hint="make one of an image that is built for the same request: sagemaker-custom lock IMAGE",
        )
    wanted = [requirement_of(text) for step in plan.steps if isinstance(step, PipStep) for text in step.packages]
    direct = {canonicalize_name(requirement.name) for requirement in wanted if requirement.url}
    names = {wheel.name for wheel in lock.wheels}
    locked = LockedInstall(
        requirements=tuple(
            f"{wheel.name} @ {wheel.url} --hash=sha256:{wheel.sha256}"
            if canonicalize_name(wheel.name) in direct
            else f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}"
            for wheel in lock.wheels
        ),
        replaced=tuple(name for name in lock.replaced if name in names),
        removed=tuple(name for name in lock.replaced if name not in names),
        text=lock.to_json(),
    )
    return replace(plan, locked=locked)


class WithLock:
    """Builds by a builder that runs pip, and has pip install what a lock names.

    Args:
        builder: Does the work.
        lock: As it was read from a file or an image.
    """

    def __init__(self, builder: ImageBuilder, lock: Lock) -> None:
        self._builder = builder
        self._lock = lock

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build; see :meth:`ImageBuilder.build`.

        Raises:
            UsageError: The lock does not fit the plan.
        """
        return self._builder.build(with_lock(plan, self._lock), fresh=fresh)


def _of_target(lock: Lock, inventory: Inventory) -> Iterator[str]:
    if _minor(lock.python_version) != _minor(inventory.python_version):
        yield f"it is for Python {lock.python_version}, the base has {inventory.python_version}"
    if lock.platform != inventory.platform:
        yield f"it is for {lock.platform}, the base for {inventory.platform}"


def _of_held(lock: Lock, plan: BuildPlan, inventory: Inventory) -> Iterator[str]:
    allowed, installed = set(replaceable(plan)), _versions(inventory)
    locked = {canonicalize_name(wheel.name): wheel.version for wheel in lock.wheels}
    for name in sorted({canonicalize_name(name) for name in (*lock.replaced, *locked)} & installed.keys()):
        if name not in allowed and locked.get(name) != installed[name]:
            change = f"replaces {name} {installed[name]}" if name in locked else f"removes {name}"
            yield f"it {change} of the base, which takes replace=[{name!r}]"


def _of_wanted(lock: Lock, plan: BuildPlan, inventory: Inventory) -> Iterator[str]:
    gone = {canonicalize_name(name) for name in lock.replaced}
    found = {name: version for name, version in _versions(inventory).items() if name not in gone}
    found |= {canonicalize_name(wheel.name): wheel.version for wheel in lock.wheels}
    environment = {**marker_environment(inventory), "extra": ""}
    for step in plan.steps:
        for text in step.packages if isinstance(step, PipStep) else ():
            requirement = requirement_of(text)
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            version = found.get(canonicalize_name(requirement.name))
            if version is None:
                yield f"{requirement} is asked for, and neither the lock nor the base has it"
            elif not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement} is asked for, and the lock has {version}"


def _versions(inventory: Inventory) -> Mapping[str, str]:
    return {canonicalize_name(package.name): package.version for package in inventory.packages}


def _minor(version: str) -> tuple[int, ...]:
    return Version(version).release[:2]
