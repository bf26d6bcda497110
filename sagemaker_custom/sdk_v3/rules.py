"""Sessions and values of the SDK v3 → what the choice of an image has to know of them."""

from __future__ import annotations

from typing import Any

from sagemaker.core.workflow import is_pipeline_variable
from sagemaker.core.workflow.pipeline_context import PipelineSession

from sagemaker_custom.sdk_v3.local import CustomLocalSession


class SdkV3Rules:
    """Answers for the SDK v3."""

    def is_pipeline(self, session: Any) -> bool:
        """Whether ``session`` writes down what a pipeline shall do, and does nothing now."""
        return isinstance(session, PipelineSession)

    def instance_type(self, given: Any, session: Any) -> Any:
        """Return the plain name of an instance type, for local mode what it stands for on this machine."""
        plain = getattr(given, "default_value", None) if is_pipeline_variable(given) else given
        return session.which(plain) if isinstance(session, CustomLocalSession) else plain
