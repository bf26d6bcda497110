"""A file, or an image in a registry → the lock that it holds; and whether an image was made from a lock."""

from __future__ import annotations

from pathlib import Path

from sagemaker_custom.builders import FoundImage, ImageStore
from sagemaker_custom.errors import ImageMissingError, TagConflictError, UsageError
from sagemaker_custom.plan import LABEL_PREFIX, WHEELS_LABEL
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.wheels.lock import Lock, read_lock


def read_lock_file(path: Path) -> Lock:
    """Read what ``sagemaker-custom lock`` wrote.

    Raises:
        UsageError: The file is missing, or no lock.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the lock {str(path)!r} cannot be read: {error}", hint="write one: sagemaker-custom lock IMAGE > FILE"
        ) from error
    return read_lock(text)


def lock_text_of(image: ImageReference, store: ImageStore) -> str:
    """Return the lock of an image, as it was written.

    Args:
        image: With a tag or a digest.
        store: Where it is.

    Raises:
        ImageMissingError: There is no such image.
        UsageError: It has no lock of wheels, because nothing was appended to it.
    """
    found = store.find(image)
    if found is None:
        raise ImageMissingError(f"there is no image {image}", hint="sagemaker-custom images lists those that there are")
    text = found.labels.get(WHEELS_LABEL)
    if text is None:
        builder = found.labels.get(f"{LABEL_PREFIX}builder", "somebody else")
        raise UsageError(
            f"{image} has no lock of its wheels: {builder} built it",
            hint="build it with builder='append', which knows every wheel by its hash",
        )
    return text


def check_made_from(lock: Lock, found: FoundImage, reference: ImageReference) -> None:
    """Make sure that an image which is there is the one that ``lock`` makes.

    Raises:
        TagConflictError: It was made from another lock, or from none.
    """
    if found.labels.get(WHEELS_LABEL) != lock.to_json():
        raise TagConflictError(
            f"{reference} is there, but it was not made from the lock that was given",
            hint="build it under a tag of its own by build='always' (--always), or leave the lock out",
        )
