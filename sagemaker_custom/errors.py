"""Every error this package raises, as one tree; each says what failed, with which value, and what to do next.

::

    SageMakerCustomError
    ├── UsageError (ValueError)              an argument or a file you gave is wrong
    │   ├── InvalidReferenceError            not an image reference
    │   ├── InvalidExtraError                an extra that cannot be read
    │   ├── RequirementsError                a line of a requirements.txt
    │   ├── ImageNotInCatalogError           no such framework, version, Python, CUDA or recipe
    │   ├── SourceError                      entry point, source_dir, symlinks
    │   ├── SettingsError                    a setting or the configuration file
    │   └── UnsupportedBySdkError (AttributeError)  the installed line of the SDK has no such method
    ├── CatalogError                         a catalog document is malformed
    ├── ImageMissingError                    not built yet, and building was not allowed
    ├── BuildError                           the image could not be built
    │   ├── EngineUnavailableError           Docker is not running, not allowed, or not installed
    │   ├── DiskFullError                    no space left where the image is built
    │   ├── BaseImageError                   the base image is missing or may not be pulled
    │   ├── NotAppendableError               it takes more than wheels on a base: another builder may do it
    │   └── VerificationError                the image was built, but does not do what it is for
    ├── RegistryError                        the image registry
    │   ├── RegistryUnavailableError         no answer, or answers that say "later"
    │   ├── RegistryAccessDeniedError        it knows who we are, or not, and says no
    │   ├── DigestMismatchError              bytes that are not what their digest says
    │   └── TagConflictError                 the tag holds another image
    ├── AwsError                             an AWS API other than the registry protocol
    │   ├── CredentialsError                 no credentials, or expired ones
    │   └── AccessDeniedError                an IAM action is missing
    ├── ScanError                            what a scan found in an image, or did not tell, forbids to use it
    ├── LocalContainerError (RuntimeError)   a container of local mode failed
    └── InterruptedRunError (KeyboardInterrupt)  Ctrl-C ended a local run, or the building of images
"""

from __future__ import annotations

from sagemaker_custom.plain_text import plain


class SageMakerCustomError(Exception):
    """Root of all errors of this package.

    Args:
        message: What failed and with which value, in one line where possible.
        hint: What to do next; shown after the message.
    """

    exit_code = 1
    """What the command line exits with when this error ends it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # Registries, engines, indexes and files have their say in messages, and messages end on terminals.
        self.message = plain(message)
        super().__init__(self.message)
        self.hint = hint and plain(hint)

    def __str__(self) -> str:
        """Return the message, followed by the hint on a line of its own."""
        return f"{self.message}\n  -> {self.hint}" if self.hint else self.message


class UsageError(SageMakerCustomError, ValueError):
    """An argument, or a file that an argument names, is wrong."""

    exit_code = 2


class InvalidReferenceError(UsageError):
    """A text that is not an image reference, or not one that fits the place."""


class InvalidExtraError(UsageError):
    """An entry of ``extras`` that cannot be read."""


class RequirementsError(UsageError):
    """A line of a requirements file that cannot become part of an image."""


class ImageNotInCatalogError(UsageError):
    """The catalog has no image or recipe for what was asked."""


class SourceError(UsageError):
    """The training or inference code cannot be packed."""


class SettingsError(UsageError):
    """A setting has a value that cannot work."""


class UnsupportedBySdkError(UsageError, AttributeError):
    """The installed line of the SDK has nothing that does it; an ``AttributeError``, as ``hasattr()`` needs it."""


class CatalogError(SageMakerCustomError):
    """A catalog document is malformed; the message lists every problem found in it."""

    exit_code = 3


class ImageMissingError(SageMakerCustomError):
    """The image does not exist and ``build="never"`` forbids making it."""

    exit_code = 4


class BuildError(SageMakerCustomError):
    """The image could not be built.

    Args:
        message: What failed.
        hint: What to do next.
        log_path: Where the whole build log is.
    """

    exit_code = 5

    def __init__(self, message: str, *, hint: str | None = None, log_path: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.log_path = log_path


class EngineUnavailableError(BuildError):
    """No Docker Engine answers, or this user may not speak to it."""


class DiskFullError(BuildError):
    """There is no space left where the image is built."""


class BaseImageError(BuildError):
    """The base image does not exist, or may not be pulled."""


class NotAppendableError(BuildError):
    """The image cannot be made by putting wheels on its base; the message is the reason."""


class VerificationError(BuildError):
    """The image was built, but a verify command of a recipe failed in it, or the SDK v3 cannot start a script in it."""


class RegistryError(SageMakerCustomError):
    """The image registry did not do what was asked."""

    exit_code = 6


class RegistryUnavailableError(RegistryError):
    """The registry gave no usable answer, also after retries; nothing is known about the image."""


class RegistryAccessDeniedError(RegistryError):
    """The registry refused the credentials, or the lack of them."""


class DigestMismatchError(RegistryError):
    """Content does not hash to the digest it was asked by."""


class TagConflictError(RegistryError):
    """The tag exists and holds something else than what belongs there."""


class AwsError(SageMakerCustomError):
    """An AWS API call failed."""

    exit_code = 7


class CredentialsError(AwsError):
    """There are no AWS credentials, or they have expired."""


class AccessDeniedError(AwsError):
    """The caller lacks an IAM permission; the message names the action."""


class ScanError(SageMakerCustomError):
    """A scan found in an image what the setting ``scan`` does not allow; or what it holds is not known."""

    exit_code = 9


class LocalContainerError(SageMakerCustomError, RuntimeError):
    """A container of local mode ended with an error, or did not become healthy; a ``RuntimeError`` as in the SDK."""

    exit_code = 8


class InterruptedRunError(SageMakerCustomError, KeyboardInterrupt):
    """Ctrl-C ended a local run, or the building of several images; still a ``KeyboardInterrupt``.

    The SDK's ``fit`` lets only what is an ``Exception`` out, and returns after a plain ``KeyboardInterrupt`` as if the
    training were done.
    """

    exit_code = 130
