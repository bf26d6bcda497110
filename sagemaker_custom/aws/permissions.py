"""The table of the calls that this package makes of AWS → the least that an IAM policy has to allow, for each route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sagemaker_custom.aws.image_uses import OPERATIONS
from sagemaker_custom.plan import CodeArtifactRepository

Resource: TypeAlias = Literal[
    "any",
    "own",
    "base",
    "registry",
    "bucket",
    "contexts",
    "code",
    "catalog",
    "leases",
    "project",
    "role",
    "log",
    "secret",
    "domain",
    "index",
    "bearer",
]
"""What a call is about."""

_CODEBUILD_SERVICE = "codebuild.amazonaws.com"

# A role that CodeBuild may have is none that any other service may have by this; a token for CodeArtifact likewise.
_CONDITIONS: Mapping[str, Mapping[str, str]] = {
    "iam:PassRole": {"iam:PassedToService": _CODEBUILD_SERVICE},
    "sts:GetServiceBearerToken": {"sts:AWSServiceName": "codeartifact.amazonaws.com"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What the ARNs of a policy are filled in with; a default is a placeholder, or any."""

    partition: str = "aws"
    region: str = "REGION"
    account: str = "ACCOUNT"
    repository_prefix: str = "sagemaker-custom"
    base_accounts: tuple[str, ...] = ("*",)
    """Whose registries AWS publishes base images in."""
    bucket: str = "BUCKET"
    """For code, and for build contexts, which are uploaded like code."""
    catalog_bucket: str = "CATALOG-BUCKET"
    leases: str | None = None
    """Bucket of leases, with ``/prefix`` where it has one; ``None`` without leases."""
    project: str = "sagemaker-custom"
    role: str = "CODEBUILD-ROLE"
    secret: str | None = None
    """Name or ARN of the secret for package indexes; ``None`` without one."""
    scans: bool = False
    """Whether scan findings decide on the use of images."""
    codeartifact: CodeArtifactRepository | None = None
    """Repository that packages are installed from; ``None`` for none."""
    in_vpc: bool = False
    """Whether builds run in a VPC."""

    def arns(self, resource: Resource) -> tuple[str, ...]:
        """Return the ARNs of a resource."""
        aws, here = f"arn:{self.partition}", f"{self.region}:{self.account}"
        secret = self.secret or ""
        packages = f"{aws}:codeartifact:{here}"
        domain = repository = ""
        if self.codeartifact:
            domain, repository = self.codeartifact.domain, f"{self.codeartifact.domain}/{self.codeartifact.repository}"
            packages = f"{aws}:codeartifact:{self.codeartifact.region}:{self.codeartifact.domain_owner or self.account}"
        return {
            "any": ("*",),
            "own": (f"{aws}:ecr:{here}:repository/{self.repository_prefix}-*",),
            "base": tuple(f"{aws}:ecr:{self.region}:{account}:repository/*" for account in self.base_accounts),
            "registry": (f"{aws}:ecr:{here}:repository/*",),
            "bucket": (f"{aws}:s3:::{self.bucket}",),
            "contexts": (f"{aws}:s3:::{self.bucket}/sagemaker-custom/contexts/*",),
            "code": (f"{aws}:s3:::{self.bucket}/*",),
            "catalog": (f"{aws}:s3:::{self.catalog_bucket}", f"{aws}:s3:::{self.catalog_bucket}/*"),
            "leases": (f"{aws}:s3:::{self.leases}/leases/*",),
            "project": (f"{aws}:codebuild:{here}:project/{self.project}",),
            "role": (self.role if self.role.startswith("arn:") else f"{aws}:iam::{self.account}:role/{self.role}",),
            "log": (
                f"{aws}:logs:{here}:log-group:/aws/codebuild/{self.project}",
                f"{aws}:logs:{here}:log-group:/aws/codebuild/{self.project}:*",
            ),
            # Secrets Manager puts six characters of its own after a name.
            "secret": (
                secret if secret.startswith("arn:") else f"{aws}:secretsmanager:{here}:secret:{secret.split(':')[0]}-*",
            ),
            "domain": (f"{packages}:domain/{domain}",),
            "index": (f"{packages}:repository/{repository}",),
            # Knows no resources.
            "bearer": ("*",),
        }[resource]


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """One call on one kind of resource."""

    operation: str
    """``service.Operation`` of boto3, ``registry.METHOD kind`` of the registry protocol, or what of a build does it."""
    resource: Resource


_SAGEMAKER = tuple("".join(word.capitalize() for word in name.split("_")) for name in OPERATIONS)

ACTIONS: Mapping[str, tuple[str, ...]] = {
    # An identity needs no right to ask who it is.
    "sts.GetCallerIdentity": (),
    "ecr.GetAuthorizationToken": ("ecr:GetAuthorizationToken",),
    "ecr.DescribeRepositories": ("ecr:DescribeRepositories",),
    "ecr.CreateRepository": ("ecr:CreateRepository",),
    "ecr.ListImages": ("ecr:ListImages",),
    "ecr.BatchDeleteImage": ("ecr:BatchDeleteImage",),
    "ecr.DescribeImages": ("ecr:DescribeImages",),
    "ecr.DescribeImageScanFindings": ("ecr:DescribeImageScanFindings",),
    "ecr.StartImageScan": ("ecr:StartImageScan",),
    "ecr.GetLifecyclePolicy": ("ecr:GetLifecyclePolicy",),
    "ecr.PutLifecyclePolicy": ("ecr:PutLifecyclePolicy",),
    **{f"sagemaker.{name}": (f"sagemaker:{name}",) for name in _SAGEMAKER},
    # What is allowed to a bucket as a whole and what to its objects is told apart by S3 itself.
    "s3.HeadObject": ("s3:GetObject",),
    "s3.GetObject": ("s3:GetObject",),
    "s3.PutObject": ("s3:PutObject",),
    "s3.CreateMultipartUpload": ("s3:PutObject",),
    "s3.UploadPart": ("s3:PutObject",),
    "s3.CompleteMultipartUpload": ("s3:PutObject",),
    "s3.AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "s3.ListObjectsV2": ("s3:ListBucket",),
    "s3.404": ("s3:ListBucket",),
    "codebuild.BatchGetProjects": ("codebuild:BatchGetProjects",),
    "codebuild.CreateProject": ("codebuild:CreateProject",),
    "codebuild.StartBuild": ("codebuild:StartBuild",),
    "codebuild.BatchGetBuilds": ("codebuild:BatchGetBuilds",),
    "codebuild.ListBuildsForProject": ("codebuild:ListBuildsForProject",),
    "codebuild.StopBuild": ("codebuild:StopBuild",),
    "codebuild.StartBuildBatch": ("codebuild:StartBuildBatch",),
    "codebuild.BatchGetBuildBatches": ("codebuild:BatchGetBuildBatches",),
    "codebuild.StopBuildBatch": ("codebuild:StopBuildBatch",),
    "codebuild.serviceRole": ("iam:PassRole",),
    "logs.GetLogEvents": ("logs:GetLogEvents",),
    "codeartifact.GetRepositoryEndpoint": ("codeartifact:GetRepositoryEndpoint",),
    "codeartifact.GetAuthorizationToken": ("codeartifact:GetAuthorizationToken",),
    "codeartifact.token": ("sts:GetServiceBearerToken",),
    "codeartifact.download": ("codeartifact:ReadFromRepository",),
    "registry.GET manifests": ("ecr:BatchGetImage",),
    "registry.HEAD manifests": ("ecr:BatchGetImage",),
    "registry.GET blobs": ("ecr:GetDownloadUrlForLayer",),
    "registry.HEAD blobs": ("ecr:BatchCheckLayerAvailability",),
    "registry.POST uploads": ("ecr:InitiateLayerUpload",),
    "registry.PUT uploads": ("ecr:UploadLayerPart", "ecr:CompleteLayerUpload"),
    "registry.PUT manifests": ("ecr:PutImage",),
    "build.log": ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
    "build.secret": ("secretsmanager:GetSecretValue",),
    # CodeBuild's own list for builds in a VPC; most of these know no resources.
    "build.network": (
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ),
    # What CodeBuild says a batch does with its builds.
    "batch.build": ("codebuild:StartBuild", "codebuild:StopBuild", "codebuild:RetryBuild"),
    "build.aws s3 cp": ("s3:GetObject",),
    "build.aws ecr get-login-password": ("ecr:GetAuthorizationToken",),
    "build.aws codeartifact get-repository-endpoint": ("codeartifact:GetRepositoryEndpoint",),
    "build.aws codeartifact get-authorization-token": ("codeartifact:GetAuthorizationToken",),
}
"""Every call, and the IAM actions that it asks for."""


def _uses(resource: Resource, *operations: str) -> tuple[Use, ...]:
    return tuple(Use(operation=operation, resource=resource) for operation in operations)


_LOOK = ("registry.HEAD manifests", "registry.GET manifests", "registry.GET blobs")
_PUSH = ("registry.HEAD blobs", "registry.POST uploads", "registry.PUT uploads", "registry.PUT manifests")
_UPLOAD = (
    "s3.HeadObject",
    "s3.PutObject",
    "s3.CreateMultipartUpload",
    "s3.UploadPart",
    "s3.CompleteMultipartUpload",
    "s3.AbortMultipartUpload",
)
_IDENTITY = _uses("any", "sts.GetCallerIdentity", "ecr.GetAuthorizationToken")

_USE = (
    *_IDENTITY,
    *_uses("own", *_LOOK),
    *_uses("code", *_UPLOAD),
    *_uses("bucket", "s3.404"),
    *_uses("catalog", "s3.ListObjectsV2", "s3.GetObject"),
)
# The tag that an engine or CodeBuild pushes under is removed afterwards; appending needs none.
_REPOSITORY = _uses("own", "ecr.DescribeRepositories", "ecr.CreateRepository")
_PUBLISH = (*_REPOSITORY, *_uses("own", "ecr.BatchDeleteImage"))
_DOCKER = (*_USE, *_PUBLISH, *_uses("own", *_PUSH), *_uses("base", *_LOOK))
_APPEND = (*_USE, *_REPOSITORY, *_uses("own", *_PUSH), *_uses("base", *_LOOK))
_CODEBUILD = (
    *_USE,
    *_PUBLISH,
    # CodeBuild pushes the image; what is known of it is put beside it from here.
    *_uses("own", *_PUSH),
    *_uses("base", "registry.HEAD manifests"),
    *_uses(
        "project",
        "codebuild.BatchGetProjects",
        "codebuild.StartBuild",
        "codebuild.BatchGetBuilds",
        "codebuild.ListBuildsForProject",
        "codebuild.StopBuild",
    ),
    *_uses("log", "logs.GetLogEvents"),
)
_BATCH = (
    *_CODEBUILD,
    *_uses("project", "codebuild.StartBuildBatch", "codebuild.BatchGetBuildBatches", "codebuild.StopBuildBatch"),
)
_SERVICE = (
    *_uses("any", "build.aws ecr get-login-password"),
    *_uses("contexts", "build.aws s3 cp"),
    *_uses("own", *_LOOK, *_PUSH),
    *_uses("base", *_LOOK),
    *_uses("log", "build.log"),
)
_ADMIN = (
    *_DOCKER,
    *_BATCH,
    *_uses("project", "codebuild.CreateProject"),
    *_uses("role", "codebuild.serviceRole"),
    *_uses("own", "ecr.ListImages"),
    # Listing repositories by their prefix asks for all of them.
    *_uses("registry", "ecr.DescribeRepositories"),
)

_PRUNE = (
    *_uses("any", "sts.GetCallerIdentity", *(f"sagemaker.{name}" for name in _SAGEMAKER)),
    *_uses("registry", "ecr.DescribeRepositories"),
    *_uses("own", "ecr.DescribeImages", "ecr.BatchDeleteImage", "ecr.GetLifecyclePolicy", "ecr.PutLifecyclePolicy"),
    *_uses("catalog", "s3.ListObjectsV2", "s3.GetObject"),
)

ROUTES: Mapping[str, tuple[Use, ...]] = {
    "use": _USE,
    "docker": _DOCKER,
    "append": _APPEND,
    "codebuild": _CODEBUILD,
    "codebuild-batch": _BATCH,
    "codebuild-service": _SERVICE,
    "codebuild-batch-service": _uses("project", "batch.build"),
    "platform-admin": _ADMIN,
    "prune": _PRUNE,
}
"""What each route calls."""

_DOWNLOAD = (*_uses("bearer", "codeartifact.token"), *_uses("index", "codeartifact.download"))
_OPEN = (
    *_uses("index", "codeartifact.GetRepositoryEndpoint"),
    *_uses("domain", "codeartifact.GetAuthorizationToken"),
    *_DOWNLOAD,
)
_INDEX: Mapping[str, tuple[Use, ...]] = {
    "docker": _OPEN,
    "append": _OPEN,
    "platform-admin": _OPEN,
    "codebuild-service": (
        *_uses("index", "build.aws codeartifact get-repository-endpoint"),
        *_uses("domain", "build.aws codeartifact get-authorization-token"),
        *_DOWNLOAD,
    ),
}
"""What routes call besides where packages come from CodeArtifact; with CodeBuild, the build asks for the token."""

DESCRIPTIONS: Mapping[str, str] = {
    "use": "Use images that are built: look them up, upload code, read team catalogs.",
    "docker": "Build with a Docker Engine, and push.",
    "append": "Add layers to a base image without Docker, and push.",
    "codebuild": "Have CodeBuild build in a project that exists, follow its log, and name the image.",
    "codebuild-batch": "The same, and have it start many builds as one batch.",
    "codebuild-service": "The service role that builds run as.",
    "codebuild-batch-service": "The service role of batches, which starts their builds: another one than theirs.",
    "platform-admin": "All of these, create the CodeBuild project, mirror base images, and list what is built.",
    "prune": "Find out what uses images, and remove those that nothing uses.",
}
"""Who a policy is for."""


_WITHOUT_TURNS = ("use", "prune")


def uses_of(route: str, place: Place) -> tuple[Use, ...]:
    """Return the calls of a route, with those that only some networks, indexes and teams need."""
    uses = (*ROUTES[route], *(_INDEX.get(route, ()) if place.codeartifact else ()))
    if route == "codebuild-batch-service":
        return uses
    if route != "codebuild-service":
        # Who only uses images waits for nobody.
        leases = _uses("leases", "s3.PutObject", "s3.GetObject") if place.leases and route not in _WITHOUT_TURNS else ()
        scans = _uses("own", "ecr.DescribeImageScanFindings", "ecr.StartImageScan") if place.scans else ()
        return (*uses, *leases, *(scans if route != "prune" else ()))
    secret = _uses("secret", "build.secret") if place.secret else ()
    network = _uses("any", "build.network") if place.in_vpc else ()
    return (*uses, *secret, *network)


def policy(route: str, place: Place) -> dict[str, Any]:
    """Return the IAM policy of a route: one statement for each set of resources, in a stable order."""
    actions: dict[tuple[tuple[str, ...], str | None], set[str]] = {}
    for use in uses_of(route, place):
        for action in ACTIONS[use.operation]:
            condition = action if action in _CONDITIONS else None
            actions.setdefault((place.arns(use.resource), condition), set()).add(action)
    statements: list[dict[str, Any]] = [
        {
            "Effect": "Allow",
            "Action": sorted(allowed),
            "Resource": list(arns),
            **({"Condition": {"StringEquals": _CONDITIONS[condition]}} if condition else {}),
        }
        for (arns, condition), allowed in actions.items()
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def trust_policy() -> dict[str, Any]:
    """Return who may take the service role: CodeBuild, whose name as a service is the same in every partition."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": _CODEBUILD_SERVICE},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
