"""A small AWS for functional tests: moto behind a boto session, and a real registry process for ECR's hosts."""

from __future__ import annotations

import functools
import io
import json
import shutil
import tarfile
from contextlib import ExitStack
from pathlib import Path

from registry_process import running_registry

from sagemaker_custom.installed_sdk import adapter
from sagemaker_custom.oci import DOCKER_CONFIG, DOCKER_MANIFEST
from sagemaker_custom.reference import digest_of
from sagemaker_custom.registry import Manifest
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.settings import RegistryEndpoint, Settings
from sagemaker_custom.wiring import Parts

if adapter().endswith("v2"):
    import sagemaker.utils
    from sagemaker.session import Session

    # It reads botocore's list of all endpoints whenever it asks for the caller's account: half the time of its tests.
    sagemaker.utils._botocore_resolver = functools.cache(sagemaker.utils._botocore_resolver)
    # It checks its configuration whenever it looks a value up, a second each, though the session's was checked before.
    sagemaker.utils.validate_sagemaker_config = lambda config: None
else:
    from sagemaker.core.config.config_manager import SageMakerConfig
    from sagemaker.core.helper.session_helper import Session

    SageMakerConfig.validate_sagemaker_config = staticmethod(lambda config: None)

_QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


class Cloud:
    """Everything that the SDK's classes talk to."""

    bucket = "sagemaker-us-east-1-123456789012"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "registry"
        self._folder.mkdir()
        self._cache = folder / "cache"
        self._context = ExitStack()
        self._registry = ExitStack()

    def __enter__(self):
        aws = self._context.enter_context(SandboxAws())
        registry = self._registry.enter_context(running_registry(self._folder))
        self.boto_session = aws.boto_session()
        self._sent: list[tuple[str, dict]] = []
        self.boto_session.events.register("provide-client-params.sagemaker", self._on_request)
        self.boto_session.events.register("after-call.sagemaker.DescribeEndpoint", _as_aws_describes)
        self.environment = aws.environment
        self.settings = Settings(
            registry_endpoints=(RegistryEndpoint(pattern="*.dkr.ecr.*", url=registry.url),),
            cache_dir=str(self._cache),
            registry_attempts=1,
            sdk_telemetry=False,
        )
        self.session = self.new_session()
        self.create_bucket(self.bucket)
        return self

    def __exit__(self, *exc_info):
        self.stop_registry()
        self._context.close()

    def _on_request(self, params, model, **_):
        self._sent.append((model.name, params))

    @property
    def sent(self):
        """What SageMaker was sent: operations and what they were given."""
        return tuple(self._sent)

    def request(self, operation):
        """Return the last request of its kind that the SDK sent."""
        return [params for name, params in self._sent if name == operation][-1]

    def stop_registry(self):
        self._registry.close()

    def new_session(self, **arguments):
        return Session(**{"boto_session": self.boto_session, "sagemaker_config": _QUIET, **arguments})

    @property
    def s3(self):
        return self.boto_session.client("s3")

    @property
    def sagemaker(self):
        return self.boto_session.client("sagemaker")

    def create_bucket(self, name):
        self.s3.create_bucket(Bucket=name)

    def objects(self, bucket=None):
        listed = self.s3.list_objects_v2(Bucket=bucket or self.bucket).get("Contents", [])
        return [item["Key"] for item in listed]

    def head(self, bucket, key):
        return self.s3.head_object(Bucket=bucket, Key=key)

    def download(self, key):
        return io.BytesIO(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def download_uri(self, uri):
        return self.download(uri.removeprefix(f"s3://{self.bucket}/"))

    def push(self, plan, **labels):
        """Put an image without layers, but with the plan's labels and these, where the plan wants one."""
        labels = {
            **plan.labels,
            **{f"sagemaker-custom.{name.replace('_', '-')}": text for name, text in labels.items()},
        }
        client = Parts(session=self.boto_session, settings=self.settings).registry
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Labels": labels},
                "rootfs": {"type": "layers", "diff_ids": []},
            }
        ).encode()
        client.upload_blob(plan.reference, digest_of(config), len(config), lambda: io.BytesIO(config))
        described = {"mediaType": DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)}
        content = json.dumps(
            {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": described, "layers": []}
        ).encode()
        client.put_manifest(plan.reference, Manifest(media_type=DOCKER_MANIFEST, content=content))

    def remove(self, plan):
        """Delete the image of ``plan``, as somebody else might."""
        tags = self._folder / "data/docker/registry/v2/repositories" / plan.reference.repository / "_manifests/tags"
        shutil.rmtree(tags / plan.reference.tag)

    def training_job(self, estimator):
        return self.sagemaker.describe_training_job(TrainingJobName=estimator.latest_training_job.name)

    def training_jobs(self):
        return self.sagemaker.list_training_jobs()["TrainingJobSummaries"]

    def models(self):
        return self.sagemaker.list_models()["Models"]

    def leave_model(self, estimator):
        """Put a model where the job would have left its own."""
        self.put_model(estimator.model_data.removeprefix(f"s3://{self.bucket}/"))

    def put_model(self, key):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("model.pth"))
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=buffer.getvalue())

    def model_of(self, predictor):
        endpoint = self.sagemaker.describe_endpoint(EndpointName=predictor.endpoint_name)
        config = self.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
        name = config["ProductionVariants"][0]["ModelName"]
        return self.sagemaker.describe_model(ModelName=name)["PrimaryContainer"]


def _as_aws_describes(parsed, **_):
    """Say of captured data what AWS says, and moto does not: the SDK v3 wants it."""
    if parsed.get("DataCaptureConfig"):
        percentage = parsed["DataCaptureConfig"].get("InitialSamplingPercentage", 100)
        parsed["DataCaptureConfig"] |= {"CaptureStatus": "Started", "CurrentSamplingPercentage": percentage}
