"""How the classes of one framework of the SDK are told which image: names of their arguments ↔ a base image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sagemaker_custom.catalog import BaseImage
from sagemaker_custom.errors import UsageError
from sagemaker_custom.image_uris import ParsedImage
from sagemaker_custom.sdk.calls import Call


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a user asked for; ``None`` where nothing was said."""

    framework: str
    version: str | None = None
    py_version: str | None = None
    base_framework_version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """The rule; frameworks that break it have a subclass."""

    framework: str
    """Of the catalog."""
    version: str = "framework_version"
    """Name of the argument that has the version."""
    python: str | None = "py_version"
    """Name of the argument that has the Python version, if there is one that may hold any."""
    repository: str = ""
    """Of AWS's training images, as the SDK reads it."""
    always_versioned: bool = False
    """Whether the SDK wants a version even where an image is given."""
    serves_any_python: bool = False
    """Whether models run no Python of the user's, so that each inference image has the one that AWS chose."""

    def asked(self, call: Call) -> Asked:
        """Read what the user asked for."""
        return Asked(
            framework=self.framework,
            version=call.get(self.version),
            py_version=call.get("py_version") if self.python else None,
        )

    def filled(self, call: Call, base: BaseImage) -> dict[str, Any]:
        """Return the arguments that the SDK wants and the user did not give."""
        values = {self.version: base.version, **({self.python: base.py_version} if self.python else {})}
        return {name: value for name, value in values.items() if call.get(name) is None}

    def speaks_of(self, framework: str) -> bool:
        """Whether the images of ``framework`` are meant."""
        return framework == self.framework

    def read_off(self, image: ParsedImage) -> dict[str, Any]:
        """Return the arguments that ask for what an image is of, as far as its URI says."""
        said = {self.version: image.version, **({self.python: image.py_version} if self.python else {})}
        return {name: value for name, value in said.items() if value is not None}

    def in_the_registry(self, base: BaseImage | None) -> tuple[str, str | None]:
        """Return framework and version, as the SDK has packages of the model registry name them.

        Args:
            base: ``None`` for an image of the user's own.
        """
        return self.framework.upper(), base.version if base else None

    def stock_name(self, image: ParsedImage) -> str:
        """Return repository and tag of AWS's image, in the form that the SDK reads when it attaches to a job."""
        return f"{self.repository}:{image.version}-cpu-{image.py_version or 'py3'}"


@dataclass(frozen=True, kw_only=True)
class Python3Dialect(Dialect):
    """Scikit-learn and XGBoost, whose classes take no other Python than ``py3``."""

    python: str | None = None

    def filled(self, call: Call, base: BaseImage) -> dict[str, Any]:
        """Return the arguments that the SDK wants and the user did not give."""
        python = {"py_version": "py3"} if call.get("py_version") is None else {}
        return super().filled(call, base) | python

    def in_the_registry(self, base: BaseImage | None) -> tuple[str, str | None]:
        """Return the framework alone, as the SDK does."""
        del base
        return self.framework.upper(), None

    def stock_name(self, image: ParsedImage) -> str:
        """Return what the SDK reads."""
        return f"{self.repository}:{image.version}-cpu-py3"


@dataclass(frozen=True, kw_only=True)
class HuggingFaceDialect(Dialect):
    """Hugging Face: the version is that of Transformers, and what it runs on has one too."""

    version: str = "transformers_version"

    def asked(self, call: Call) -> Asked:
        """Read what the user asked for.

        Raises:
            UsageError: Two frameworks are named that it shall run on.
        """
        runs_on = {name: call.get(f"{name}_version") for name in ("pytorch", "tensorflow")}
        named = {name: version for name, version in runs_on.items() if version is not None}
        if len(named) > 1:
            raise UsageError(
                "pytorch_version and tensorflow_version are both given", hint="give the one that Transformers runs on"
            )
        base = next((f"{name}{version}" for name, version in named.items()), None)
        return Asked(
            framework=self.framework,
            version=call.get(self.version),
            py_version=call.get("py_version"),
            base_framework_version=base,
        )

    def filled(self, call: Call, base: BaseImage) -> dict[str, Any]:
        """Return the arguments that the SDK wants and the user did not give."""
        filled = super().filled(call, base)
        if call.get("pytorch_version") is None and call.get("tensorflow_version") is None:
            filled[f"{base.base_framework}_version"] = base.base_framework_version
        return filled

    def in_the_registry(self, base: BaseImage | None) -> tuple[str, str | None]:
        """Return what Transformers runs on."""
        if base is None:
            return super().in_the_registry(base)
        return (base.base_framework or "").upper(), base.base_framework_version

    def read_off(self, image: ParsedImage) -> dict[str, Any]:
        """Return the arguments that ask for what an image is of."""
        return {**super().read_off(image), f"{image.base_framework}_version": image.base_framework_version}

    def stock_name(self, image: ParsedImage) -> str:
        """Return what the SDK reads."""
        tag = f"{image.base_framework_version}-transformers{image.version}-cpu-{image.py_version}"
        return f"huggingface-{image.base_framework}-training:{tag}"


@dataclass(frozen=True, kw_only=True)
class RLDialect(Dialect):
    """Reinforcement learning: a toolkit on a framework."""

    version: str = "toolkit_version"
    python: str | None = None

    def asked(self, call: Call) -> Asked:
        """Read what the user asked for."""
        names = [plain_name(call.get(name)) for name in ("toolkit", "framework")]
        if not any(names) and call.get("image_uri") is None:
            raise UsageError("neither toolkit nor framework is given", hint="name one of them, or an image_uri")
        return Asked(framework="-".join(filter(None, names)) or self.framework, version=call.get(self.version))

    def speaks_of(self, framework: str) -> bool:
        """Whether the images of ``framework`` are meant."""
        return framework.partition("-")[0] in ("coach", "ray")

    def filled(self, call: Call, base: BaseImage) -> dict[str, Any]:
        """Return nothing: the SDK wants toolkit, version and framework from the user."""
        del call, base
        return {}

    def stock_name(self, image: ParsedImage) -> str:
        """Return what the SDK reads."""
        toolkit, _, framework = image.framework.partition("-")
        return f"sagemaker-rl-{framework}:{toolkit}{image.version}-cpu-py3"


def plain_name(item: Any) -> str | None:
    """Return the name of a toolkit or framework: the SDK v2 has them as values of an ``Enum``, the v3 has none.

    Args:
        item: One of these, or the name itself.
    """
    name: str | None = getattr(item, "value", item)
    return name
