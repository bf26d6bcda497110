"""An image in a registry → its bill of materials and its provenance, computed from its labels and kept beside it."""

from sagemaker_custom.evidence.artifact import KINDS, Kind, subject_of
from sagemaker_custom.evidence.record import Evidence, RecordingBuilder

__all__ = ["KINDS", "Evidence", "Kind", "RecordingBuilder", "subject_of"]
