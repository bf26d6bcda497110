"""A StartBuild request → what CodeBuild would do with it: its buildspec is run in a real container."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from fakes.codebuild_api import Step

_PHASES = ("install", "pre_build", "build", "post_build")
_SOURCES = "/codebuild/output/src"

AWS_PROGRAM = '''\
#!/usr/bin/python3
"""What of the aws command a build uses, with the password and the object store of a test."""
import os
import shutil
import sys
import urllib.request

words = sys.argv[1:]
if words[:3] == ["s3", "cp", "--only-show-errors"]:
    bucket, _, key = words[3].removeprefix("s3://").partition("/")
    scope = "AKIATESTING/20261121/us-east-1/s3/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=any"}
    request = urllib.request.Request(f"{os.environ['TEST_S3']}/{bucket}/{key}", headers=signed)
    with urllib.request.urlopen(request) as answer, open(words[4], "wb") as file:
        shutil.copyfileobj(answer, file)
elif words[:3] == ["ecr", "get-login-password", "--region"] and words[3] == os.environ["TEST_REGION"]:
    print(os.environ["TEST_PASSWORD"])
elif words[:2] == ["codeartifact", "get-repository-endpoint"] and "packages" in words:
    print(os.environ["TEST_ENDPOINT"])
elif words[:2] == ["codeartifact", "get-authorization-token"] and "company" in words:
    print(os.environ["TEST_TOKEN"])
else:
    sys.exit(f"aws: {words} is nothing that a build needs")
'''


@dataclass
class CodeBuildMachine:
    """Runs builds, one after the other, each in a container of its own."""

    client: object
    """Of the Docker Engine, which the builds use as well."""
    image: str
    """Has python3, tar, gzip and sha256sum, as CodeBuild's own has."""
    docker: str
    """The docker command, handed in from this machine."""
    folder: Path
    s3: str
    password: str
    region: str
    secrets: dict[str, str]
    """Secrets Manager: name to value."""
    index: tuple[str, str] = ("", "")
    """CodeArtifact: endpoint and token."""

    def __call__(self, request, build_id):
        assert request["privilegedModeOverride"] is True
        container = self.client.containers.create(
            self.image,
            entrypoint=["/bin/sh", "-c", _script(request["buildspecOverride"])],
            environment=self._environment(request, build_id),
            network_mode="host",
            working_dir=_SOURCES,
            volumes=self._volumes(),
        )
        try:
            container.start()
            exit_code = container.wait()["StatusCode"]
            lines = tuple(container.logs().decode().splitlines())
        finally:
            container.remove(force=True, v=True)
        yield Step(phase="PROVISIONING", has_log=False)
        yield Step(phase="BUILD", lines=lines)
        yield Step(phase="COMPLETED", status="FAILED" if exit_code else "SUCCEEDED")

    def _environment(self, request, build_id):
        values = {
            "CODEBUILD_BUILD_ID": build_id,
            "CODEBUILD_SRC_DIR": _SOURCES,
            "HOME": "/root",
            "TEST_S3": self.s3,
            "TEST_PASSWORD": self.password,
            "TEST_REGION": self.region,
            "TEST_ENDPOINT": self.index[0],
            "TEST_TOKEN": self.index[1],
        }
        for variable in request["environmentVariablesOverride"]:
            is_secret = variable["type"] == "SECRETS_MANAGER"
            values[variable["name"]] = self.secrets[variable["value"]] if is_secret else variable["value"]
        return values

    def _volumes(self):
        program = self.folder / "aws"
        program.write_text(AWS_PROGRAM)
        program.chmod(0o755)
        return {
            "/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"},
            shutil.which(self.docker): {"bind": "/usr/local/bin/docker", "mode": "ro"},
            str(program): {"bind": "/usr/local/bin/aws", "mode": "ro"},
        }


def _script(buildspec):
    """All commands in one shell, as version 0.2 has it; the first that fails ends the build."""
    document = yaml.safe_load(buildspec)
    assert document["version"] == 0.2
    assert set(document["phases"]) <= set(_PHASES)
    lines = []
    for phase in _PHASES:
        description = document["phases"].get(phase, {"on-failure": "ABORT", "commands": []})
        assert description["on-failure"] == "ABORT"
        for command in description["commands"]:
            lines += [f"echo '[Container] Running command '{shlex.quote(command)}", f"{{ {command}\n}} || exit $?"]
    return "\n".join(lines)
