"""Installed versions → the companions that were compiled for them, which metadata does not say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

# https://docs.pytorch.org/audio/2.11.0/installation.html: from then on it takes every later PyTorch.
_TORCHAUDIO_STABLE = 11
_TORCHTEXT_LAST = 3
_KERAS_OF_ITS_OWN = 16
# https://github.com/meta-pytorch/torchcodec#installing-torchcodec
_TORCHCODEC_FIRST = 4
_TORCHCODEC = {4: "==0.0.*", 5: "==0.1.*", 6: "==0.2.*", 7: ">=0.3,<0.6", 8: ">=0.6,<0.8", 9: ">=0.8,<0.10"}
# https://github.com/tensorflow/io#tensorflow-version-compatibility
_TENSORFLOW_IO = {
    9: "==0.26.*",
    10: "==0.27.*",
    11: ">=0.28,<0.32",
    12: "==0.32.*",
    13: ">=0.33,<0.35",
    14: "==0.35.*",
    15: "==0.36.*",
    16: "==0.37.*",
}
_NONE_FITS = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Companion:
    leader: str
    follower: str
    fitting: Callable[[Version], str | None]
    """Version of the leader → specifiers; ``None`` where nothing is known, empty where no release fits."""
    has_variants: bool = False
    """Whether both are built per accelerator, which the local part of their versions names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Misfit:
    """Two packages whose compiled parts do not go together."""

    leader: str
    leader_version: str
    follower: str
    follower_version: str
    fitting: str
    """What would fit, for people."""

    def __str__(self) -> str:
        """Return both, and what would fit."""
        return (
            f"{self.follower} {self.follower_version} is not compiled for {self.leader} {self.leader_version}, "
            f"which goes with {self.fitting}"
        )


def _torchvision(torch: Version) -> str | None:
    if torch.major == 1:
        return f"==0.{torch.minor + 1}.*"
    return f"==0.{torch.minor + 15}.*" if torch.major == 2 else None


def _torchaudio(torch: Version) -> str | None:
    if torch.major == 1:
        return f"==0.{torch.minor}.*"
    if torch.major != 2:
        return None
    return f"==2.{torch.minor}.*" if torch.minor < _TORCHAUDIO_STABLE else f">=2.{_TORCHAUDIO_STABLE}"


def _torchtext(torch: Version) -> str | None:
    if torch.major == 1:
        return f"==0.{torch.minor + 1}.*"
    # Its last release says that it takes later ones too, and then misses symbols of theirs.
    return f"==0.{torch.minor + 15}.*" if torch.major == 2 and torch.minor <= _TORCHTEXT_LAST else _NONE_FITS


def _torchcodec(torch: Version) -> str | None:
    if torch.major == 1 or (torch.major == 2 and torch.minor < _TORCHCODEC_FIRST):
        return _NONE_FITS
    return _TORCHCODEC.get(torch.minor) if torch.major == 2 else None


def _tensorflow_io(tensorflow: Version) -> str | None:
    return _TENSORFLOW_IO.get(tensorflow.minor) if tensorflow.major == 2 else None


def _same_minor(leader: Version) -> str | None:
    return f"=={leader.major}.{leader.minor}.*"


def _keras(tensorflow: Version) -> str | None:
    if tensorflow.major != 2:
        return None
    return f"==2.{tensorflow.minor}.*" if tensorflow.minor < _KERAS_OF_ITS_OWN else ">=3"


_COMPANIONS = (
    _Companion(leader="torch", follower="torchvision", fitting=_torchvision, has_variants=True),
    _Companion(leader="torch", follower="torchaudio", fitting=_torchaudio, has_variants=True),
    _Companion(leader="torch", follower="torchtext", fitting=_torchtext),
    _Companion(leader="torch", follower="torchcodec", fitting=_torchcodec),
    _Companion(leader="tensorflow", follower="keras", fitting=_keras),
    _Companion(leader="tensorflow", follower="tf-keras", fitting=_same_minor),
    _Companion(leader="tensorflow", follower="tensorflow-text", fitting=_same_minor),
    _Companion(leader="tensorflow", follower="tensorflow-io", fitting=_tensorflow_io),
)


def constraints(leaders: Mapping[str, str]) -> Iterator[str]:
    """Yield requirements that keep companions to what was compiled for ``leaders``.

    Args:
        leaders: Normalised name → version, of packages that stay as they are.
    """
    for companion, version in _led(leaders):
        fitting = companion.fitting(version)
        if fitting:
            yield f"{companion.follower}{fitting}"


def misfits(installed: Mapping[str, str], changed: frozenset[str]) -> Iterator[Misfit]:
    """Yield what of ``installed`` does not go together, unless neither of two is in ``changed``.

    Args:
        installed: Normalised name → version, of all packages of an image.
        changed: Those that its base does not have like that.
    """
    for companion, version in _led(installed):
        text = installed.get(companion.follower)
        if text is None or not changed & {companion.leader, companion.follower}:
            continue
        fitting = companion.fitting(version)
        follower = Version(text)
        if fitting == _NONE_FITS:
            yield _misfit(companion, version, text, f"no release of {companion.follower}")
        elif fitting and not SpecifierSet(fitting).contains(follower.public, prereleases=True):
            yield _misfit(companion, version, text, f"{companion.follower}{fitting}")
        elif companion.has_variants and not _same_variant(version.local, follower.local):
            yield _misfit(companion, version, text, f"its {version.local or 'default'} build")


def _led(installed: Mapping[str, str]) -> Iterator[tuple[_Companion, Version]]:
    for companion in _COMPANIONS:
        if companion.leader in installed:
            try:
                yield companion, Version(installed[companion.leader])
            except InvalidVersion:
                continue


def _same_variant(leader: str | None, follower: str | None) -> bool:
    # What has no local part is the index's default build, which is for CUDA.
    return follower == leader if follower and leader else leader != "cpu"


def _misfit(companion: _Companion, leader: Version, follower: str, fitting: str) -> Misfit:
    return Misfit(
        leader=companion.leader,
        leader_version=str(leader),
        follower=companion.follower,
        follower_version=follower,
        fitting=fitting,
    )
