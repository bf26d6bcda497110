"""The image flow: a BuildPlan → the image that is used, built on the way if the policy allows.

1. An image of AWS needs nothing: no network. Unless it is mirrored: then it has to be in the account's registry.
2. ``store.find``: is the extended image there? Asks the registry, or the local Docker Engine; a failure to answer is
   raised and never taken for an answer.
3. It is there and its fingerprint label is the plan's: done.
4. It is not, and the policy is not ``never``: each of ``turns`` is taken, which may wait for another caller who is at
   it, and then the registry is asked again. It has the last word.
5. It is still not there: the base is mirrored where the plan says so, then ``builder.build``. Uses network, disk and
   CPU.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from typing_extensions import assert_never

from sagemaker_custom.builders import FoundImage, ImageBuilder, ImageStore, script_start
from sagemaker_custom.builders.choice import why_not_appended
from sagemaker_custom.errors import ImageMissingError, TagConflictError, UsageError
from sagemaker_custom.leases import BuildLock, Holder, LockKey, NothingToDo
from sagemaker_custom.locks import check_made_from
from sagemaker_custom.own_images import OwnImage
from sagemaker_custom.plan import FINGERPRINT_LABEL, BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.resolve import describe_extra
from sagemaker_custom.spec import BuildPolicy, RequirementsExtra
from sagemaker_custom.wheels.lock import Lock

_OF_OWN = ("--py-version", "--image-scope", "--processor", "--architecture", "--cuda-version")
_POLICIES: dict[str, BuildPolicy] = {"if-missing": "if-missing", "always": "always", "never": "never"}


def check_policy(policy: str) -> BuildPolicy:
    """Return ``policy``.

    Raises:
        UsageError: It is none of the three.
    """
    if policy not in _POLICIES:
        raise UsageError(f"build={policy!r} is not a policy", hint=f"write one of {', '.join(map(repr, _POLICIES))}")
    return _POLICIES[policy]


def ensure_image(
    plan: BuildPlan,
    *,
    policy: BuildPolicy,
    store: ImageStore,
    builder: Callable[[], ImageBuilder],
    mirror: Callable[[BuildPlan], object],
    revision: Callable[[], str],
    progress: Progress,
    lock: Lock | None = None,
    turns: tuple[BuildLock, ...] = (),
) -> ImageReference:
    """Return the image of ``plan``, after making sure that it exists.

    Args:
        plan: What is wanted.
        policy: Whether to build.
        store: Where an extended image is looked for.
        builder: Makes the builder, only when one is needed.
        mirror: Brings the base to the account's registry, when the plan takes it from there.
        revision: Names a fresh build of an image whose tag cannot be moved.
        progress: Is told which way it went.
        lock: What the image has to have been made from, where that matters.
        turns: Let one caller at a time build it, or bring its base; those that cost least first.

    Raises:
        ImageMissingError: It does not exist, and the policy is ``never``.
        TagConflictError: Its tag holds an image that was made from something else.
        VerificationError: It is there, and known not to start the script that it is wanted for.
        UsageError: A lock is given, and nothing is installed.
        BuildError: It could not be built.
        RegistryError: Whether it exists could not be learned, or it could not be pushed.
    """
    if lock is not None:
        _check_lockable(plan)
    once = _Once(turns, progress)
    if not plan.needs_build:
        _bring_base(plan, policy, store, mirror, once)
        whose = "your own" if plan.own else "AWS's own"
        progress.step(f"image {plan.reference}: {whose}, nothing to build")
        return plan.reference
    if policy == "always":
        _bring_base(plan, policy, store, mirror, once)
        # Tags in ECR are immutable and others rely on this one, so a fresh build gets a tag of its own (ADR 0007).
        fresh = plan if plan.is_local else plan.rebuilt(revision())
        return builder().build(fresh, fresh=True)

    def is_there() -> bool:
        found = store.find(plan.reference)
        if found is not None:
            verify_fingerprint(plan, found)
            script_start.check_found(plan, found.labels)
            if lock is not None:
                check_made_from(lock, found, plan.reference)
            progress.step(f"image {plan.reference} is there, nothing to build")
        return found is not None

    def build() -> None:
        _bring_base(plan, policy, store, mirror, once)
        builder().build(plan)

    if is_there():
        return plan.reference
    if policy == "never":
        raise ImageMissingError(
            f'the image {plan.reference} does not exist, and build="never" forbids building it',
            hint=_build_hint(plan),
        )
    once.make(LockKey(reference=plan.reference, fingerprint=plan.fingerprint), is_there, build)
    return plan.reference


def _check_lockable(plan: BuildPlan) -> None:
    obstacle = why_not_appended(plan) if plan.needs_build else "nothing is installed in it"
    if obstacle:
        raise UsageError(f"a lock cannot make {plan.reference}: {obstacle}", hint="leave the lock out")


def _bring_base(
    plan: BuildPlan, policy: BuildPolicy, store: ImageStore, mirror: Callable[[BuildPlan], object], once: _Once
) -> None:
    def is_there() -> bool:
        return store.find(plan.base_reference) is not None

    # Asked first, so that who only uses the mirror needs no rights where the image comes from.
    if plan.mirror_of is None or is_there():
        return
    if policy == "never":
        raise ImageMissingError(
            f'{plan.mirror_of} is not mirrored as {plan.base_reference} yet, and build="never" forbids it',
            hint=f"mirror it with: {build_command(plan, 'mirror')}",
        )
    once.make(LockKey(reference=plan.base_reference), is_there, lambda: mirror(plan))


class _Once:
    """Lets one caller at a time make something, and the others look whether it is there."""

    def __init__(self, turns: tuple[BuildLock, ...], progress: Progress) -> None:
        self._turns = turns
        self._progress = progress

    def make(self, key: LockKey, is_there: Callable[[], bool], make: Callable[[], object]) -> None:
        with ExitStack() as held:
            for each in self._turns:
                turn = held.enter_context(each.hold(key, is_there=is_there, progress=self._progress))
                if isinstance(turn, NothingToDo):
                    return
                if turn.predecessor:
                    self._progress.step(_in_vain(turn.predecessor, key.reference))
            make()


def _in_vain(predecessor: Holder, reference: ImageReference) -> str:
    match predecessor.state:
        case "failed":
            return f"{predecessor} could not make {reference} ({predecessor.failure}): trying it here"
        case "done":
            return f"{predecessor} is done, but {reference} is not there: making it here"
        case "building":
            return f"{predecessor} is gone and left no {reference}: taking over"
        case _:
            assert_never(predecessor.state)


def verify_fingerprint(plan: BuildPlan, found: FoundImage) -> None:
    """Make sure that an image is what its tag says.

    Raises:
        TagConflictError: Its fingerprint label is missing or another.
    """
    label = found.labels.get(FINGERPRINT_LABEL)
    if label != plan.fingerprint:
        raise TagConflictError(
            f"{plan.reference} holds another image: its fingerprint label is {label or 'missing'}, "
            f"expected {plan.fingerprint}",
            hint="somebody pushed something else under this tag: delete the tag, or choose another repository_prefix",
        )


def _build_hint(plan: BuildPlan) -> str:
    if plan.own is None:
        return f"build it with: {build_command(plan)}"
    return f'build it by build_image(), by build="if-missing", or with: {build_command(plan)}'


def build_command(plan: BuildPlan, command: str = "build") -> str:
    """Return the command line that builds the image of ``plan``, or does something else with it."""
    base = plan.base
    options = {
        "--version": base.version,
        "--py-version": base.py_version,
        "--image-scope": base.image_scope,
        "--processor": base.processor,
        "--architecture": base.architecture if base.architecture != "x86_64" else None,
        "--base-framework-version": f"{base.base_framework}{base.base_framework_version}"
        if base.base_framework
        else None,
        "--cuda-version": base.cuda_version,
        "--sdk-version": base.sdk_version,
        "--container-version": plan.spec.container_version,
    }
    if plan.own is not None:
        options = {name: options[name] for name in _OF_OWN}
    words = ["sagemaker-custom", command, *(_own_words(plan.own) if plan.own else (plan.spec.framework,))]
    words += [word for name, value in options.items() if value for word in (name, value)]
    for extra in plan.spec.extras:
        words += ["--extra", extra.path if isinstance(extra, RequirementsExtra) else describe_extra(extra)]
    for package in plan.spec.replace:
        words += ["--replace", package]
    if plan.is_local:
        words.append("--local")
    elif plan.reference.ecr:
        words += ["--region", plan.reference.ecr.region, "--account", plan.reference.ecr.account]
    return shlex.join(words)


def _own_words(own: OwnImage) -> Iterator[str]:
    if own.dockerfile:
        yield from ("--folder", own.dockerfile.path)
        if own.dockerfile.dockerfile != "Dockerfile":
            yield from ("--dockerfile-name", own.dockerfile.dockerfile)
        for name, value in own.dockerfile.build_args:
            yield from ("--build-arg", f"{name}={value}")
        yield from ("--target", own.dockerfile.target) if own.dockerfile.target else ()
    else:
        yield from ("--base-image", str(own.base_image))
    yield from ("--name", own.name)
    yield from ("--toolkit", own.toolkit) if own.toolkit != "none" else ()
    yield from ("--python", own.python) if own.python != "python3" else ()
    for package in own.held:
        yield from ("--hold", package)
