"""A Docker Engine in memory that pushes into a FakeRegistry, writes down what it does, and can be told to fail."""

from __future__ import annotations

import json
from dataclasses import replace

from sagemaker_custom.builders.engine import EngineImage
from sagemaker_custom.builders.script_start import ANSWER_END, ANSWER_MARK, QUESTION
from sagemaker_custom.errors import RegistryUnavailableError
from sagemaker_custom.reference import digest_of

_MARK = "sagemaker-custom installed: "


class FakeEngine:
    """Implements Engine."""

    address = "unix:///var/run/docker.sock"

    def __init__(self, registry, *, engine_version="20.10.24"):
        self.registry = registry
        self.engine_version = engine_version
        self.images: dict[str, EngineImage] = {}
        self.effects: list[str] = []
        self.contexts = []
        self.logins = []
        self.exit_codes: dict[str, int] = {}
        self.output: dict[str, list[str]] = {}
        self.installed: dict[str, dict[str, str]] = {}
        self.lacks: dict[str, tuple[str, ...]] = {}
        """What programs an image does not have, by its id."""
        self.failures: dict[str, BaseException] = {}
        self.media_type = None
        self.layers: dict[str, tuple[str, ...]] = {}

    def add(self, name, **labels):
        """Store an image under a name, as 'docker build' or 'docker pull' would have."""
        layers = next((layers for beginning, layers in self.layers.items() if name.startswith(beginning)), ())
        image = EngineImage(id=digest_of(name.encode()), labels=labels, tags=(name,), layers=layers)
        self.images[image.id] = image
        self.installed[image.id] = {"torch": "2.3.0", "pip": "24.0"}
        return image

    def version(self):
        self._happens("version")
        return self.engine_version

    def find_image(self, name):
        return next((image for image in self.images.values() if name == image.id or name in image.tags), None)

    def find_digest(self, digest):
        return next((image for image in self.images.values() if digest in image.manifest_digests), None)

    def pull(self, reference, *, platform, credentials, progress):
        self._happens(f"pull {reference}")
        self.logins.append(credentials)
        image = self.add(f"pulled-{reference}")
        self.images[image.id] = replace(image, tags=(), digests=(str(reference),))
        return self.images[image.id]

    def push(self, reference, *, credentials, progress):
        self.logins.append(credentials)
        image = self.find_image(str(reference))
        options = {"media_type": self.media_type} if self.media_type else {}
        self.registry.put_image(reference.repository, reference.tag, labels=image.labels, **options)
        self._happens(f"push {reference}")

    def tag(self, image_id, reference):
        self._happens(f"tag {reference}")
        image = self.images[image_id]
        self.images[image_id] = replace(image, tags=(*image.tags, str(reference)))

    def untag(self, reference):
        image = self.find_image(str(reference))
        if image:
            self._happens(f"untag {reference}")
            self.images[image.id] = replace(image, tags=tuple(tag for tag in image.tags if tag != str(reference)))

    def discard(self, image_id):
        if image_id in self.images and not self.images[image_id].tags:
            del self.images[image_id]

    def run(self, image_id, command, *, on_line, timeout_s):
        if command == QUESTION:
            for name in (*self.lacks.get(image_id, ()), ANSWER_END):
                on_line(f"{ANSWER_MARK}{name}")
            return 0
        program = command[-1]
        if _MARK in program:
            on_line(_MARK + json.dumps(self.installed[image_id]))
            return 0
        self._happens(f"run {program}")
        for line in self.output.get(program, []):
            on_line(line)
        return self.exit_codes.get(program, 0)

    def build(self, context, *, on_line):
        self.contexts.append(context)
        kind = "label" if context.labels else "build"
        self._happens(kind)
        image = self.add(f"{kind}-{len(self.contexts)}", **dict(context.labels))
        self.images[image.id] = replace(image, tags=())
        self.installed[image.id] = {"torch": "2.3.0", "tiny": "1.0"}
        return image.id

    def fail(self, effect, error=None):
        """Raise at the first effect that begins so."""
        self.failures[effect] = error or RegistryUnavailableError("the connection was lost")

    def _happens(self, effect):
        self.effects.append(effect)
        for beginning, error in self.failures.items():
            if effect.startswith(beginning):
                raise error


class FakeRoute:
    """Implements BuildRoute on a FakeEngine."""

    name = "docker-buildkit"

    def __init__(self, engine, *, secret_mounts=True):
        self.engine = engine
        self.secret_mounts = secret_mounts
        self.requests = []
        self.lines: list[str] = []
        self.error: BaseException | None = None

    def build(self, request, *, on_line):
        self.requests.append(request)
        for line in self.lines:
            on_line(line)
        if self.error:
            raise self.error
        self.engine.effects.append("build")
        image = self.engine.add("built")
        self.engine.images[image.id] = replace(image, tags=())
        self.engine.installed[image.id] = {"torch": "2.3.0", "tiny": "1.0"}
        return image.id


class FakeRunner:
    """Implements CommandRunner: answers by the end of the command's words."""

    def __init__(self):
        self.answers: dict[tuple[str, ...], tuple[int, list[str]]] = {}
        self.commands: list[list[str]] = []
        self.environments = []
        self.on_build = lambda command: None

    def run(self, command, *, environment, on_line):
        self.commands.append(list(command))
        self.environments.append(environment)
        if command[1] == "build":
            self.on_build(command)
        code, lines = self.answers.get(tuple(command[:3]) if command[1] != "build" else ("build",), (1, []))
        for line in lines:
            on_line(line)
        return code
