"""Many images that shall be there → each built, present or failed; several at a time, and each thing once."""

from sagemaker_custom.prebuild.changed import Changes, changed_since
from sagemaker_custom.prebuild.images import ImageMaker, Outcome, PartsMaker, Wanted, batch_gate, wanted_images
from sagemaker_custom.prebuild.rows import Attendant, Board, Interruption, Row
from sagemaker_custom.prebuild.run import Prebuild, default_jobs

__all__ = [
    "Attendant",
    "Board",
    "Changes",
    "ImageMaker",
    "Interruption",
    "Outcome",
    "PartsMaker",
    "Prebuild",
    "Row",
    "Wanted",
    "batch_gate",
    "changed_since",
    "default_jobs",
    "wanted_images",
]
