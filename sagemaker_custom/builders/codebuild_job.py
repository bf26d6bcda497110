"""What runs in CodeBuild: a build context → an image, built, verified, labelled and pushed under a staging tag.

This file goes into the context as it is, so it uses nothing but the standard library of an older Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETRC_VARIABLE = "SAGEMAKER_CUSTOM_NETRC"
USER_PLACEHOLDER = "SAGEMAKER_CUSTOM_USER_OF_THE_BASE"
VERIFICATION_MARK = "sagemaker-custom: the built image does not pass "
START_MARK = "sagemaker-custom: no script can be started: "
FAILURE_MARK = "sagemaker-custom: "

# The command is an argument, so that no quoting of ours stands between the recipe and the shell.
_IN_IMAGE = 'PATH="${1:+$1:}$PATH"; export PATH; exec /bin/sh -c "$2"'
# It goes unquoted into a Dockerfile.
_PLAIN_USER = re.compile(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?")
_PLAIN_URL = re.compile(r"https?://([A-Za-z0-9.-]+)(?::[0-9]+)?/[A-Za-z0-9/._~-]*")
_ROOT = ("", "0", "root", "0:0", "root:root")


class JobError(Exception):
    """The job cannot go on; the message is its last line."""


class Docker:
    """The docker command.

    Args:
        environment: Of every command.
        program: Its name.
    """

    def __init__(self, environment: dict[str, str], program: str = "docker") -> None:
        # Another builder would build where the base image is not, and leave the result there.
        self._environment = {**environment, "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default"}
        self._program = program

    def run(self, *arguments: str, timeout: float | None = None) -> None:
        """Run a command whose output is the log's."""
        try:
            done = subprocess.run([self._program, *arguments], env=self._environment, check=False, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise JobError(f"timeout after {timeout:g} seconds") from None
        if done.returncode:
            raise JobError(f"exit code {done.returncode}")

    def output(self, *arguments: str) -> str:
        """Run a command and return what it prints; its errors are the log's."""
        done = subprocess.run(
            [self._program, *arguments], env=self._environment, stdout=subprocess.PIPE, check=False, text=True
        )
        if done.returncode:
            raise JobError(f"'docker {arguments[0]}' ended with exit code {done.returncode}")
        return done.stdout

    def has_buildx(self) -> bool:
        """Tell whether builds take the flags of buildx."""
        done = subprocess.run(
            [self._program, "buildx", "version"],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0


class Job:
    """One build.

    Args:
        document: The context's ``build.json``.
        folder: Of the unpacked context.
        docker: The docker command.
        netrc: Credentials of package indexes; empty for none.
        build_id: Of CodeBuild; tells this build's names from another's.
        aws: Gives the output of an aws command.
    """

    def __init__(
        self,
        document: dict[str, Any],
        folder: Path,
        *,
        docker: Docker,
        netrc: str,
        build_id: str,
        aws: Callable[..., str],
    ) -> None:
        self._document = document
        self._folder = folder
        self._docker = docker
        self._netrc = netrc
        self._aws = aws
        self._name = f"sagemaker-custom-build:{build_id}"
        self._staging = f"{document['repository']}:{document['staging_prefix']}{build_id}"

    def run(self) -> None:
        """Do all of it; the push comes last, so that nothing incomplete is ever pushed."""
        if self._document["codeartifact"]:
            self._open_index(self._document["codeartifact"])
        base, digest = self._base()
        built = self._built(base)
        self._verify(built)
        starts_scripts = self._starts_scripts(base, built)
        labels = {
            **self._document["labels"],
            **starts_scripts,
            self._document["base_digest_label"]: digest,
            self._document["lock_label"]: self._lock(base, built),
        }
        self._label(built, labels)
        _say(f"pushing {self._staging}")
        self._docker.run("push", self._staging)

    def _open_index(self, index: dict[str, str]) -> None:
        """Put the URL of the index into the Dockerfiles, and a token for it into the netrc file."""
        where = ["--domain", index["domain"], "--region", index["region"], "--output", "text"]
        where += ["--domain-owner", index["domain_owner"]] if index["domain_owner"] else []
        _say(f"asking CodeArtifact for {index['placeholder']}")
        url = self._aws(
            "codeartifact", "get-repository-endpoint", *where, "--repository", index["repository"], "--format", "pypi",
            "--query", "repositoryEndpoint",
        ).strip().rstrip("/") + "/simple/"  # fmt: skip
        token = self._aws("codeartifact", "get-authorization-token", *where, "--query", "authorizationToken").strip()
        # It goes into a shell command of the Dockerfile as it is.
        host = _PLAIN_URL.fullmatch(url)
        if not host:
            raise JobError(f"CodeArtifact has {url!r} for {index['placeholder']}, which is no URL")
        self._netrc = f"{self._netrc.rstrip()}\nmachine {host.group(1)} login aws password {token}\n".lstrip()
        for name in ("Dockerfile", "Dockerfile.user"):
            path = self._folder / name
            if path.exists():
                path.write_text(path.read_text(encoding="utf-8").replace(index["placeholder"], url), encoding="utf-8")

    def _base(self) -> tuple[str, str]:
        """Return the name of the base in the engine, and its digest."""
        document = self._document
        if document["folder"]:
            return self._folder_base(document["folder"])
        _say(f"pulling the base image {document['base']}")
        self._docker.run("pull", f"--platform={document['platform']}", document["base"])
        if document["base"] != document["base_name"]:
            self._docker.run("tag", document["base"], document["base_name"])
        return document["base_name"], document["base_digest"] or self._pulled_digest(document["base_name"])

    def _pulled_digest(self, name: str) -> str:
        format_ = '--format={{join .RepoDigests " "}}'
        names = self._docker.output("inspect", "--type=image", format_, name).split()
        return min((text.partition("@")[2] for text in names), default="")

    def _folder_base(self, folder: dict[str, Any]) -> tuple[str, str]:
        name = f"{self._name}-folder"
        flags = [f"--build-arg={key}={value}" for key, value in folder["build_args"]]
        flags += [f"--target={folder['target']}"] if folder["target"] else []
        _say("building the folder")
        self._build(name, self._folder / "own" / "Dockerfile", self._folder / "context", flags)
        return name, self._docker.output("inspect", "--type=image", "--format={{.Id}}", name).strip()

    def _built(self, base: str) -> str:
        if not self._document["has_steps"]:
            return base
        dockerfile = self._folder / "Dockerfile"
        if self._document["own"]:
            user = self._docker.output("inspect", "--type=image", "--format={{.Config.User}}", base).strip()
            dockerfile = self._folder / "Dockerfile.used"
            dockerfile.write_text(self._for_user(base, user), encoding="utf-8")
        name = f"{self._name}-built"
        _say(f"building {self._document['image']}")
        with tempfile.TemporaryDirectory(prefix="sagemaker-custom-") as secrets:
            self._build(name, dockerfile, self._folder / "files", self._secret_flags(Path(secrets)))
        return name

    def _for_user(self, base: str, user: str) -> str:
        is_root = user in _ROOT
        if not is_root and not _PLAIN_USER.fullmatch(user):
            raise JobError(f"the base image runs as {user!r}, which cannot stand in a Dockerfile")
        text = (self._folder / ("Dockerfile" if is_root else "Dockerfile.user")).read_text(encoding="utf-8")
        # A folder's image has a name that only this build knows.
        return text.replace(USER_PLACEHOLDER, user).replace(f"FROM {self._document['base_name']}\n", f"FROM {base}\n")

    def _secret_flags(self, folder: Path) -> list[str]:
        flags = []
        certificates = self._folder / "ca-bundle.pem"
        if certificates.exists():
            flags.append(f"--secret=id=ca_bundle,src={certificates}")
        if self._document["netrc"] or self._document["codeartifact"]:
            if not self._netrc:
                raise JobError(f"the secret of the package index is empty: {NETRC_VARIABLE} has no value")
            path = folder / "netrc"
            # Created private, rather than made so once the secret is in it.
            path.touch(mode=0o600)
            path.write_text(self._netrc.rstrip("\n") + "\n", encoding="utf-8")
            flags.append(f"--secret=id=netrc,src={path}")
        return flags

    def _build(self, name: str, dockerfile: Path, context: Path, flags: list[str]) -> None:
        # SageMaker hosting refuses the index that attestations need.
        plain = ["--provenance=false", "--sbom=false", "--load"] if self._docker.has_buildx() else []
        fresh = ["--no-cache"] if self._document["no_cache"] else []
        context.mkdir(exist_ok=True)
        # What is ignored is not in the context any more; this file keeps BuildKit from asking the context's own.
        Path(f"{dockerfile}.dockerignore").write_text("# nothing\n", encoding="utf-8")
        platform = f"--platform={self._document['platform']}"
        try:
            self._docker.run(
                "build", "--progress=plain", platform, f"--tag={name}", f"--file={dockerfile}", *flags, *plain, *fresh,
                str(context),
            )  # fmt: skip
        except JobError as error:
            raise JobError(f"'docker build' ended with {error}") from None

    def _verify(self, image: str) -> None:
        for command in self._document["verify"]:
            _say(f"verifying: {command}")
            try:
                self._container(image, ["/bin/sh", "-c", _IN_IMAGE, "sh", self._document["path"], command])
            except JobError as error:
                sys.stdout.flush()
                print(f"{VERIFICATION_MARK}'{command}' ({error})", flush=True)  # noqa: T201 - the log is its output
                raise SystemExit(1) from None

    def _starts_scripts(self, base: str, built: str) -> dict[str, str]:
        start = self._document["script_start"]
        if not start:
            return {}
        lacks = self._lacking(built, start)
        if not lacks:
            return {start["label"]: start["yes"]}
        of_base = self._lacking(base, start) if self._document["has_steps"] else lacks
        found = json.dumps({"lacks": lacks, "of_base": of_base})
        if start["required"] or set(lacks) - set(of_base):
            sys.stdout.flush()
            print(f"{START_MARK}{found}", flush=True)  # noqa: T201 - the log is its output
            raise SystemExit(1)
        _say(f"the image lacks {' and '.join(lacks)}: the SDK v3 starts no script in it")
        return {start["label"]: start["lacks"] + " ".join(lacks)}

    def _lacking(self, image: str, start: dict[str, Any]) -> list[str]:
        command = start["command"]
        arguments = ["run", "--rm", "--network=none", f"--entrypoint={command[0]}", image, *command[1:]]
        try:
            lines = self._docker.output(*arguments).splitlines()
        except JobError:
            # Docker does not start what the image does not have.
            lines = []
        said = [line.strip()[len(start["mark"]) :] for line in lines if line.startswith(start["mark"])]
        return said[:-1] if said[-1:] == [start["end"]] else [start["no_answer"]]

    def _container(self, image: str, command: list[str]) -> None:
        timeout = float(self._document["verify_timeout"])
        self._docker.run(
            "run", "--rm", "--network=none", f"--entrypoint={command[0]}", image, *command[1:], timeout=timeout
        )

    def _lock(self, base: str, built: str) -> str:
        before, after = self._listing(base), self._listing(built)
        installed = {name: version for name, version in after.items() if before.get(name) != version}
        document = {"installed": installed, "removed": sorted(before.keys() - after.keys())}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def _listing(self, image: str) -> dict[str, str]:
        command = self._document["listing"]
        arguments = ["run", "--rm", "--network=none", f"--entrypoint={command[0]}", image, *command[1:]]
        mark = self._document["listing_mark"]
        try:
            lines = self._docker.output(*arguments).splitlines()
        except JobError:
            lines = []
        for line in lines:
            if line.startswith(mark):
                return dict(json.loads(line[len(mark) :]))
        if self._document["own"]:
            # An image of the user's own may have no Python, and then has nothing to record.
            return {}
        raise JobError(f"Python in {image} did not list what is installed")

    def _label(self, image: str, labels: dict[str, str]) -> None:
        # By flags, since a Dockerfile would expand '$' in values and ends lines at 64 KiB.
        flags = [f"--label={name}={value}" for name, value in sorted(labels.items())]
        with tempfile.TemporaryDirectory(prefix="sagemaker-custom-") as name:
            folder = Path(name)
            (folder / "Dockerfile").write_text(f"FROM {image}\n", encoding="utf-8")
            self._build(self._staging, folder / "Dockerfile", folder / "context", flags)


def aws_output(environment: dict[str, str], program: str = "aws") -> Callable[..., str]:
    """Return what runs an aws command and gives its output; its errors are the log's."""

    def output(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], env=environment, stdout=subprocess.PIPE, check=False, text=True)
        if done.returncode:
            raise JobError(f"'aws {' '.join(arguments[:2])}' ended with exit code {done.returncode}")
        return done.stdout

    return output


def _say(text: str) -> None:
    sys.stdout.flush()
    print(f"{FAILURE_MARK}{text}", flush=True)  # noqa: T201 - the log is its output


def main() -> None:
    """Run the job in the folder of this file."""
    folder = Path(__file__).resolve().parent
    environment = dict(os.environ)
    # No tool that is started here needs it, and none shall repeat it.
    netrc = environment.pop(NETRC_VARIABLE, "")
    document = json.loads((folder / "build.json").read_text(encoding="utf-8"))
    build_id = environment["CODEBUILD_BUILD_ID"].rpartition(":")[2]
    aws = aws_output(environment)
    job = Job(document, folder, docker=Docker(environment), netrc=netrc, build_id=build_id, aws=aws)
    try:
        job.run()
    except JobError as error:
        _say(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
