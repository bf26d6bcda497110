"""What has to be known of an SDK to say which image one of its classes needs."""

from __future__ import annotations

from typing import Any, Protocol

LOCAL_AUTO = "local_auto"
"""Instance type: ``local_gpu`` where the engine has GPUs, else ``local``."""
LOCAL_INSTANCE_TYPES = ("local", "local_gpu", LOCAL_AUTO)
LOCAL_ROLE = "arn:aws:iam::000000000000:role/local"
"""For local mode, where nobody assumes a role but the SDK wants one."""


class SdkRules(Protocol):
    """How one version of the SDK says what every version says."""

    def is_pipeline(self, session: Any) -> bool:
        """Whether ``session`` writes down what a pipeline shall do, and does nothing now."""

    def instance_type(self, given: Any, session: Any) -> Any:
        """Return the plain name of an instance type, where it is a pipeline's parameter or stands for another.

        Args:
            given: As the user gave it.
            session: The SDK's, if there is one.
        """


class PlainRules:
    """For calls that neither pipeline nor local session takes part in."""

    def is_pipeline(self, session: Any) -> bool:
        """Return that it is none."""
        del session
        return False

    def instance_type(self, given: Any, session: Any) -> Any:
        """Return it as it was given."""
        del session
        return given
