"""A processing job, on AWS or on this machine, with the SDK v2's names for what one asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagemaker.core.processing import _wait_for_processing_job, logs_for_processing_job

from sagemaker_custom.sdk_v3.processing_files import ProcessingInput, ProcessingOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class StartedProcessingJob:
    """A job that was started; the SDK v3's own asks the default session, and thus maybe another region."""

    job_name: str
    session: Any
    """The SDK's, by which it was started."""
    inputs: tuple[ProcessingInput, ...]
    outputs: tuple[ProcessingOutput, ...]
    """With the addresses that were made up."""
    output_kms_key: str | None = None

    @property
    def name(self) -> str:
        """The same."""
        return self.job_name

    @property
    def processing_job_name(self) -> str:
        """The same, as the SDK v3 calls it."""
        return self.job_name

    def describe(self) -> dict[str, Any]:
        """Ask what AWS, or local mode, says of it."""
        return dict(self.session.sagemaker_client.describe_processing_job(ProcessingJobName=self.job_name))

    def wait(self, logs: bool = True) -> None:
        """Wait for its end.

        Args:
            logs: Whether to print its log meanwhile.

        Raises:
            ValueError: It failed.
        """
        if self._is_local:
            return
        if logs:
            logs_for_processing_job(self.session, self.job_name, wait=True)
        else:
            _wait_for_processing_job(self.session, self.job_name)

    def stop(self) -> None:
        """Stop it; one on this machine has ended."""
        if not self._is_local:
            self.session.sagemaker_client.stop_processing_job(ProcessingJobName=self.job_name)

    @property
    def _is_local(self) -> bool:
        return bool(getattr(self.session, "local_mode", False))
