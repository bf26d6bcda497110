"""BuildPlan → the text of its Dockerfile, with BuildKit's secret mounts or without. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from typing_extensions import assert_never

from sagemaker_custom import toolkits
from sagemaker_custom.errors import UsageError
from sagemaker_custom.own_images import ANY_PACKAGE_MANAGER
from sagemaker_custom.plan import BuildPlan, LockedInstall
from sagemaker_custom.resolve import CondaStep, PackagesStep, PipStep, Step, ToolkitStep
from sagemaker_custom.spec import without_credentials

CA_SECRET = "ca_bundle"  # noqa: S105 - the name of a mount, not a secret
NETRC_SECRET = "netrc"  # noqa: S105 - likewise
CA_FILE = "ca-bundle.pem"
"""Name of the CA bundle in the build context, where there are no secret mounts."""

_WORK = "/tmp/sagemaker-custom"  # noqa: S108 - in the image, removed by the step that makes it
_PIP_OPTIONS = ("--no-cache-dir", "--progress-bar off", f"-c {_WORK}/held.txt")
_PROGRAMS = {"training": ("train", toolkits.TRAINING_SCRIPT), "inference": ("serve", toolkits.INFERENCE_SCRIPT)}
"""What SageMaker starts in an image of a scope, and the script that adds it."""
# What pip, requests, curl, OpenSSL, conda and git each read.
_CA_VARIABLES = (
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "CONDA_SSL_VERIFY",
    "GIT_SSL_CAINFO",
)
_JOIN = " \\\n && "
# Debian's own Python takes packages by pip only when told so (PEP 668); in an image nothing else manages them.
_SYSTEM_PYTHON = "export PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore"

# Prints what may not change as pip constraints: the named packages at their very versions, but NumPy below its
# next major version, since compiled packages of the base are bound to that.
_HELD = (
    "import importlib.metadata as m, sys; "
    "v = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions() if d.metadata['Name']}; "
    "sys.stdout.writelines(n + ('<%d' % (int(v[n].split('.')[0]) + 1) if n == 'numpy' else '==' + v[n]) + '\\n' "
    "for n in sys.argv[1:] if n in v)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildEnvironment:
    """What the engine that builds offers, and what the network asks for."""

    secret_mounts: bool
    """Whether the engine mounts secrets (BuildKit); they are then in no layer, label or history."""
    ca_bundle: bool = False
    """Whether a CA bundle is handed in: as secret ``ca_bundle``, else as ``ca-bundle.pem`` in the context."""
    netrc: bool = False
    """Whether credentials are handed in, as secret ``netrc``; needs secret mounts."""
    user: str = ""
    """Whom the base runs as, where that is not root: steps need root, and the image ends as it began."""


def render(plan: BuildPlan, base: str, environment: BuildEnvironment) -> str:
    """Return the Dockerfile of ``plan``.

    Args:
        plan: With at least one step.
        base: What stands after ``FROM``.
        environment: Of the engine that builds.

    Returns:
        Text that holds no credentials.

    Raises:
        UsageError: Something in the plan, or the user of the base, has a line end.
    """
    ca_file = _ca_path(environment)
    lines = [f"FROM {base}"]
    if environment.user:
        lines.append("USER root")
    if files := step_files(plan):
        lines.append(f"COPY {' '.join(files)} {toolkits.FOLDER}/")
    if ca_file and not environment.secret_mounts:
        lines.append(f"COPY {CA_FILE} {ca_file}")
    if plan.locked:
        lines.append(_run(_locked_commands(plan, plan.locked), environment))
    else:
        lines += [_run(_commands(step, plan, environment), environment) for step in plan.steps]
    if ca_file and not environment.secret_mounts:
        lines.append(f"RUN rm -f {ca_file}")
    lines += [line for step in plan.steps if isinstance(step, ToolkitStep) for line in _program(step)]
    if environment.user:
        lines.append(f"USER {environment.user}")
    return "\n".join(map(_instruction, lines)) + "\n"


def _instruction(text: str) -> str:
    """Make sure that a text is one instruction: its own line ends follow a backslash, and nobody else has put one in.

    Everything that stands here was checked where it came from; this is what a check that is missing there meets.
    """
    for line in text.split(_JOIN):
        if not line.isprintable():
            raise UsageError(
                f"{line!r} would be more than one instruction of a Dockerfile",
                hint="take line ends and control characters out of packages, URLs, paths and the user of the base",
            )
    return text


def step_files(plan: BuildPlan) -> tuple[str, ...]:
    """Return the names of the files of this package that have to be in the build context."""
    return tuple(toolkits.toolkit_files()) if plan.own is not None and plan.steps else ()


def _program(step: ToolkitStep) -> list[str]:
    # SageMaker runs the image with the word "train" or "serve", which an entry point of the base would swallow.
    program, _ = _PROGRAMS[step.image_scope]
    return ["ENTRYPOINT []", f'CMD ["{program}"]']


def _ca_path(environment: BuildEnvironment) -> str | None:
    if not environment.ca_bundle:
        return None
    # Not under _WORK, which every step removes.
    return f"/run/secrets/{CA_SECRET}" if environment.secret_mounts else f"/etc/sagemaker-custom-{CA_FILE}"


def _run(commands: Sequence[str], environment: BuildEnvironment) -> str:
    mounts = ""
    if environment.secret_mounts:
        wanted = [(CA_SECRET, environment.ca_bundle), (NETRC_SECRET, environment.netrc)]
        mounts = "".join(f"--mount=type=secret,id={name} " for name, given in wanted if given)
    exports = _exports(environment)
    return f"RUN {mounts}set -eu" + _JOIN + _JOIN.join([*exports, *commands])


def _exports(environment: BuildEnvironment) -> list[str]:
    exports = []
    ca_file = _ca_path(environment)
    if ca_file:
        exports.append("export " + " ".join(f"{name}={ca_file}" for name in _CA_VARIABLES))
    if environment.netrc:
        exports.append(f"export NETRC=/run/secrets/{NETRC_SECRET}")
    return exports


def _commands(step: Step, plan: BuildPlan, environment: BuildEnvironment) -> list[str]:
    ca_file = _ca_path(environment)
    match step:
        case PackagesStep():
            return _packages(step, plan.base.package_manager, ca_file)
        case CondaStep():
            return [*_conda_check(plan), *_guarded(_conda(step), plan.base.python, (*plan.held, "numpy"))]
        case PipStep():
            held = [name for name in (*plan.held, "numpy") if name not in step.replaces]
            return [*_pip_check(plan), *_guarded(_pip(step, plan), plan.base.python, held)]
        case ToolkitStep():
            return _toolkit(step, plan, environment)
        case _:
            assert_never(step)


def _packages(step: PackagesStep, manager: str, ca_file: str | None) -> list[str]:
    if manager == ANY_PACKAGE_MANAGER:
        return [*_trusted(ca_file), f"sh {toolkits.FOLDER}/{toolkits.PACKAGES_SCRIPT} {_quoted(step.packages)}"]
    if manager == "dnf":
        # What apt writes NAME=VERSION is NAME-VERSION here.
        names = _quoted(name.replace("=", "-", 1) for name in step.packages)
        trust = f" --setopt=sslcacert={ca_file}" if ca_file else ""
        return [f"dnf{trust} install -y {names}", "dnf clean all"]
    names = _quoted(step.packages)
    option = f" -o Acquire::https::CAInfo={ca_file}" if ca_file else ""
    return [
        f"apt-get{option} update",
        f"DEBIAN_FRONTEND=noninteractive apt-get{option} install -y --no-install-recommends {names}",
        "rm -rf /var/lib/apt/lists/*",
    ]


def _trusted(ca_file: str | None) -> list[str]:
    return [f"export SAGEMAKER_CUSTOM_CA={ca_file}"] if ca_file else []


def _toolkit(step: ToolkitStep, plan: BuildPlan, environment: BuildEnvironment) -> list[str]:
    program, script = _PROGRAMS[step.image_scope]
    options = [*_PIP_OPTIONS, *_indexes(PipStep(packages=()), plan), _quoted(step.packages)]
    user = [f"export SAGEMAKER_CUSTOM_USER={shlex.quote(environment.user)}"] if environment.user else []
    install = f"sh {toolkits.FOLDER}/{script} {shlex.quote(plan.base.python)} {' '.join(options)}"
    return [
        # Whoever has the program already needs no toolkit, nor the Python that it is installed for.
        f"if command -v {program}; then exit 0; fi",
        *_trusted(_ca_path(environment)),
        *user,
        *_pip_check(plan),
        *_guarded([install], plan.base.python, (*plan.held, "numpy")),
    ]


def _pip_check(plan: BuildPlan) -> list[str]:
    if plan.own is None:
        return []
    return [_SYSTEM_PYTHON, f"sh {toolkits.FOLDER}/{toolkits.PIP_SCRIPT} {shlex.quote(plan.base.python)}"]


def _conda_check(plan: BuildPlan) -> list[str]:
    if plan.own is None:
        return []
    return ["{ command -v conda || { echo 'the image has no conda, which an extra asks for'; exit 1; }; }"]


def _conda(step: CondaStep) -> list[str]:
    channels = "".join(f"-c {shlex.quote(channel)} " for channel in step.channels)
    return [f"conda install -y {channels}{_quoted(step.packages)}", "conda clean -afy"]


def _pip(step: PipStep, plan: BuildPlan) -> list[str]:
    pip = f"{plan.base.python} -m pip --no-input --disable-pip-version-check"
    options = list(_PIP_OPTIONS)
    commands = []
    if step.env:
        commands.append("export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in step.env))
    if step.uninstall:
        commands.append(f"{pip} uninstall -y {_quoted(step.uninstall)}")
    if step.build_packages:
        build = [*options, *_indexes(replace(step, index_url=None, extra_index_urls=(), find_links=()), plan)]
        commands.append(f"{pip} install {' '.join(build)} {_quoted(step.build_packages)}")
    commands.append(f"printf '%s\\n' {_quoted(step.packages)} > {_WORK}/requirements.txt")
    if step.constraints:
        commands.append(f"printf '%s\\n' {_quoted(step.constraints)} > {_WORK}/constraints.txt")
        options.append(f"-c {_WORK}/constraints.txt")
    options += _indexes(step, plan)
    options += [
        flag for flag, on in (("--no-deps", step.no_deps), ("--no-build-isolation", step.no_build_isolation)) if on
    ]
    return [*commands, f"{pip} install {' '.join(options)} -r {_WORK}/requirements.txt"]


def _locked_commands(plan: BuildPlan, locked: LockedInstall) -> list[str]:
    """Install what a lock names, each file by its hash, and see that this is what was asked for."""
    pip = f"{plan.base.python} -m pip --no-input --disable-pip-version-check"
    steps = [step for step in plan.steps if isinstance(step, PipStep)]
    # A file with the right hash is the right file, whichever of them has it.
    indexes = dict.fromkeys(url for step in steps for url in (step.index_url, *step.extra_index_urls) if url)
    links = dict.fromkeys(url for step in steps for url in step.find_links)
    places = _indexes(PipStep(packages=(), extra_index_urls=tuple(indexes), find_links=tuple(links)), plan)
    options = [*_PIP_OPTIONS, *places, "--require-hashes", "--no-deps", "--only-binary :all:"]
    asked = [text.partition(" --")[0] for step in steps for text in step.packages if " @ " not in text]
    names = [text.partition("==")[0].partition(" @ ")[0] for text in locked.requirements]
    held = [name for name in dict.fromkeys((*plan.held, "numpy", *names)) if name not in locked.replaced]
    commands = [
        *([f"{pip} uninstall -y {_quoted(locked.removed)}"] if locked.removed else []),
        f"printf '%s\\n' {_quoted(locked.requirements)} > {_WORK}/locked.txt",
        f"{pip} install {' '.join(options)} -r {_WORK}/locked.txt",
    ]
    if asked:
        commands.append(f"printf '%s\\n' {_quoted(asked)} > {_WORK}/requirements.txt")
        commands.append(f"{pip} install --no-index --no-deps -r {_WORK}/requirements.txt")
    return _guarded(commands, plan.base.python, held)


def _indexes(step: PipStep, plan: BuildPlan) -> Iterable[str]:
    index_url = step.index_url or plan.pip_indexes.index_url or str(plan.pip_indexes.codeartifact or "")
    if index_url:
        yield f"--index-url {shlex.quote(without_credentials(index_url))}"
    for url in (*step.extra_index_urls, *plan.pip_indexes.extra_index_urls):
        yield f"--extra-index-url {shlex.quote(without_credentials(url))}"
    for url in step.find_links:
        yield f"--find-links {shlex.quote(url)}"


def _guarded(commands: list[str], python: str, held: Sequence[str]) -> list[str]:
    """Wrap ``commands`` so that the step fails when it changed what may not change, or when that cannot be told."""
    complaint = shlex.quote("these packages of the base image were replaced, which no recipe asked for")
    return [
        f"mkdir -p {_WORK}",
        f"held() {{ {python} -c {shlex.quote(_HELD)} {_quoted(held)}; }}",
        f"held > {_WORK}/held.txt",
        *commands,
        f"held > {_WORK}/now.txt",
        f"if grep -vxFf {_WORK}/now.txt {_WORK}/held.txt; then echo {complaint}; exit 1; else test $? -eq 1; fi",
        f"rm -rf {_WORK}",
    ]


def _quoted(texts: Iterable[str]) -> str:
    return " ".join(shlex.quote(text) for text in texts)
