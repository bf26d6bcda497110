"""A uv that gives recorded answers and keeps what it was asked."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker_custom.wheels.uv import UvAnswer

HEADLINE = "error: No solution found when resolving dependencies\n  cause: "


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One run."""

    arguments: tuple[str, ...]
    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    environment: dict[str, str]

    def option(self, name):
        """The value after an option."""
        return self.arguments[self.arguments.index(name) + 1]


class FakeUv:
    """Answers in turn; there are newer releases, as source code or as wheels, when it is told so."""

    def __init__(self, *answers, newer_sources=False, newer_wheels=False):
        self._answers = list(answers)
        self._newer_sources = newer_sources
        self._newer_wheels = newer_wheels
        self.asked = []
        self.asked_for_newer = []

    def run(self, arguments, *, folder, environment):
        asked = Asked(
            arguments=tuple(arguments),
            requirements=tuple((folder / "requirements.txt").read_text().splitlines()),
            constraints=tuple((folder / "constraints.txt").read_text().splitlines()),
            environment=dict(environment),
        )
        if "--prerelease" in arguments:
            self.asked_for_newer.append(asked)
            is_there = self._newer_wheels or (self._newer_sources and "--only-binary" not in arguments)
            return solution() if is_there else no_solution("Because only it is available, …")
        self.asked.append(asked)
        return self._answers.pop(0)


def no_solution(cause, hint=""):
    """What uv says when nothing fits."""
    return UvAnswer(code=1, output="", messages=HEADLINE + cause + hint)


def solution(*packages):
    """The lock file of packages; see :func:`from_index` and :func:`of_base`."""
    head = 'lock-version = "1.0"\ncreated-by = "uv"\nrequires-python = ">=3.11"\n'
    return UvAnswer(code=0, output=head + "".join(packages), messages=f"Resolved {len(packages)} packages in 3ms\n")


def from_index(name, version, *tags, sha256="a" * 64, host="https://files.example.com", size=None):
    """A package that uv found, with a wheel for each of these tags."""
    escaped = version.replace("+", "%2B")
    length = f", size = {size}" if size else ""
    wheels = "".join(
        f'    {{ url = "{host}/{name.replace("-", "_")}-{escaped}-{tag}.whl", '
        f'upload-time = 2026-11-15T17:01:44Z{length}, hashes = {{ sha256 = "{sha256}" }} }},\n'
        for tag in tags or ("py3-none-any",)
    )
    return f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = [\n{wheels}]\n'


def of_base(name, version):
    """A package of the base that uv came across."""
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return (
        f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n'
        f'archive = {{ path = "/cache/bases/0/{filename}", hashes = {{ sha256 = "{"b" * 64}" }} }}\n'
    )
