"""AWS, spoken in one place: our questions → its services → our values, or an ``AwsError`` that says why."""

from sagemaker_custom.aws.codeartifact import CodeArtifact
from sagemaker_custom.aws.codebuild import CodeBuild
from sagemaker_custom.aws.codebuild_batch import CodeBuildBatches
from sagemaker_custom.aws.connection import Connection, open_session
from sagemaker_custom.aws.scans import Finding, ImageScan, Scans
from sagemaker_custom.aws.services import Aws, ListedObject, StoredObject

__all__ = [
    "Aws",
    "CodeArtifact",
    "CodeBuild",
    "CodeBuildBatches",
    "Connection",
    "Finding",
    "ImageScan",
    "ListedObject",
    "Scans",
    "StoredObject",
    "open_session",
]
