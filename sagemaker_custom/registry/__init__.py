"""OCI distribution client: image references and blobs → what a registry holds; all HTTP passes one transport."""

from sagemaker_custom.registry.auth import CredentialSource
from sagemaker_custom.registry.client import Manifest, RegistryClient
from sagemaker_custom.registry.transport import (
    HttpRequest,
    HttpResponse,
    RequestsTransport,
    StreamedBody,
    Transport,
)

__all__ = [
    "CredentialSource",
    "HttpRequest",
    "HttpResponse",
    "Manifest",
    "RegistryClient",
    "RequestsTransport",
    "StreamedBody",
    "Transport",
]
