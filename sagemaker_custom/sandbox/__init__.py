"""A whole AWS to try things on: moto's services, a real OCI registry, and stand-ins for stock images."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_custom.progress import NoProgress
from sagemaker_custom.sandbox.aws import ACCOUNT, SandboxAws
from sagemaker_custom.sandbox.registry import LocalRegistry
from sagemaker_custom.settings import RegistryEndpoint, Settings

if TYPE_CHECKING:
    import boto3

    from sagemaker_custom.progress import Progress

__all__ = ["Sandbox"]

_ECR_HOSTS = "*.dkr.ecr.*"


class Sandbox:
    """A context in which this package, the SageMaker SDK and boto3 work without an AWS account.

    Teams try their own catalogs and scripts in it, on Linux with a Docker Engine::

        with Sandbox() as sandbox:
            sandbox.ensure_bases()
            session = CustomLocalSession(sandbox.boto_session())
            estimator = CustomPyTorch(..., sagemaker_session=session, settings=sandbox.settings)

    * AWS is moto: it records what is created and runs nothing; it is empty again the next time.
    * Image references are true ECR ones; :attr:`settings` send their hosts to a local registry, which keeps its images.
    * ``pytorch-training`` and ``pytorch-inference`` 2.3.0 (CPU, py311), and on demand images of other frameworks,
      can be pulled from it after :meth:`ensure_bases`. They are stand-ins, and say so in a label.

    Other processes get the same by :attr:`environment`.
    """

    def __init__(self, cache_dir: Path | str | None = None, *, region: str = "us-east-1") -> None:
        """Name the place; nothing starts before the context is entered.

        Args:
            cache_dir: Keeps the registry's images and downloads between runs; default: in the package's cache.
            region: Of the boto sessions and the bucket.
        """
        self.region = region
        self._user_settings = Settings.load()
        self._folder = Path(cache_dir) if cache_dir else Path(self._user_settings.cache_dir) / "sandbox"
        self._registry = LocalRegistry(self.registry_folder)
        self._aws = SandboxAws()
        self._context = ExitStack()

    def __enter__(self) -> Sandbox:
        """Start AWS and the registry, and create the default bucket.

        Raises:
            EngineUnavailableError: The registry program is missing, and cannot be installed from here.
            RegistryUnavailableError: The registry does not start.
        """
        # Not at the top: "python -m sagemaker_custom.sandbox.engine" would load the module twice.
        from sagemaker_custom.sandbox.engine import ensure_programs

        with ExitStack() as context:
            ensure_programs()
            context.enter_context(self._registry)
            context.enter_context(self._aws)
            storage = self.boto_session().client("s3")
            context.callback(storage.close)
            where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
            storage.create_bucket(Bucket=self.bucket, **({"CreateBucketConfiguration": where} if where else {}))
            self._context = context.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop both; the registry's images stay on disk."""
        self._context.close()

    @property
    def account(self) -> str:
        """The only account there is."""
        return ACCOUNT

    @property
    def role(self) -> str:
        """A role for estimators and models."""
        return f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"

    @property
    def bucket(self) -> str:
        """The SDK's default bucket; it exists."""
        return f"sagemaker-{self.region}-{ACCOUNT}"

    @property
    def registry_url(self) -> str:
        """Where the local registry answers."""
        return self._registry.url

    @property
    def registry_folder(self) -> Path:
        """Where the local registry keeps its images."""
        return self._folder / "registry"

    @property
    def settings(self) -> Settings:
        """The user's settings, with every ECR host sent to the local registry."""
        endpoint = RegistryEndpoint(pattern=_ECR_HOSTS, url=self.registry_url)
        return Settings.load(
            overrides={
                "account": ACCOUNT,
                "region": self.region,
                "registry_endpoints": (endpoint,),
                "accept_stand_ins": True,
                "sdk_telemetry": False,
            }
        )

    @property
    def environment(self) -> dict[str, str]:
        """Variables that bring other processes into this sandbox."""
        return {
            **self._aws.environment(self.region),
            "SAGEMAKER_CUSTOM_ACCOUNT": ACCOUNT,
            "SAGEMAKER_CUSTOM_REGION": self.region,
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"{_ECR_HOSTS}={self.registry_url}",
            "SAGEMAKER_CUSTOM_ACCEPT_STAND_INS": "yes",
            "SAGEMAKER_CUSTOM_SDK_TELEMETRY": "off",
            "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        }

    def boto_session(self, region: str | None = None) -> boto3.Session:
        """Return a session that reaches this AWS only.

        Args:
            region: Default: the sandbox's.
        """
        return self._aws.boto_session(region or self.region)

    def ensure_bases(self, progress: Progress | None = None, frameworks: Iterable[str] = ("pytorch",)) -> None:
        """Make the stand-ins, where the registry lacks them, and push them; minutes the first time, then nothing.

        Args:
            progress: Told of each step.
            frameworks: Of ``pytorch``, ``huggingface``, ``sklearn``, ``xgboost`` and ``tensorflow``.

        Raises:
            UsageError: There is no stand-in for one of the frameworks.
            EngineUnavailableError: There is no Docker Engine, and none can be started.
            BuildError: A stand-in cannot be made.
            RegistryError: It cannot be pushed.
        """
        from sagemaker_custom.sandbox.engine import ensure_engine
        from sagemaker_custom.sandbox.frameworks import publications_for
        from sagemaker_custom.sandbox.publish import publish

        publish(
            self._registry,
            publications_for(frameworks),
            engine_factory=ensure_engine,
            folder=self._folder,
            settings=self._user_settings,
            progress=progress or NoProgress(),
        )
