"""Sessions and values of the SDK v2 → what the choice of an image has to know of them."""

from __future__ import annotations

from typing import Any

from sagemaker.workflow import is_pipeline_variable
from sagemaker.workflow.pipeline_context import PipelineSession

from sagemaker_custom.sdk_v2.local import CustomLocalSession


class SdkV2Rules:
    """Answers for the SDK v2."""

    def is_pipeline(self, session: Any) -> bool:
        """Whether ``session`` writes down what a pipeline shall do, and does nothing now."""
        return isinstance(session, PipelineSession)

    def instance_type(self, given: Any, session: Any) -> Any:
        """Return the plain name of an instance type, as the SDK does when it picks an image."""
        plain = getattr(given, "default_value", None) if is_pipeline_variable(given) else given
        return session.which(plain) if isinstance(session, CustomLocalSession) else plain
