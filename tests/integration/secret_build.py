"""A process that builds an image and says all that it can; told by JSON on standard input what to do."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import ExitStack, nullcontext
from dataclasses import replace

from fakes import base_images
from fakes.base_images import CONDA, conda, config_of, layer, push_image
from fakes.codeartifact_api import CodeArtifactApi
from fakes.example_plan import BASE, example_plan

from sagemaker_custom.errors import SageMakerCustomError
from sagemaker_custom.plan import indexes_of
from sagemaker_custom.progress import LineProgress
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.settings import RegistryEndpoint, Settings
from sagemaker_custom.wiring import Parts


def main() -> None:
    """Build twice: something that fails, then something that works."""
    asked = json.load(sys.stdin)
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("sagemaker_custom").setLevel(logging.DEBUG)
    with ExitStack() as stack:
        session = stack.enter_context(SandboxAws()).boto_session()
        if asked["codeartifact"]:
            CodeArtifactApi(**asked["codeartifact"]).listen(session)
        endpoints = (RegistryEndpoint(pattern="*.dkr.ecr.*", url=asked["registry"]),) if asked["registry"] else ()
        settings = Settings(**asked["settings"], registry_endpoints=endpoints)
        parts = Parts(session=session, settings=settings, progress=lambda: nullcontext(LineProgress()))
        plan = example_plan(
            local=asked["builder"] == "docker",
            base=replace(BASE, tag=asked["tag"]),
            fingerprint=asked["fingerprint"],
            pip_indexes=indexes_of(settings, "us-east-1"),
        )
        _say(repr(settings), repr(parts), repr(plan), plan.labels, plan.document)
        if asked["builder"] == "append":
            _push_base(parts, plan)
        absent = replace(plan, steps=(PipStep(packages=("not-there",)),), reference=plan.reference.with_tag("absent"))
        try:
            parts.ensure(absent, builder=asked["builder"])
        except SageMakerCustomError as error:
            traceback.print_exc()
            _say(repr(error), error.message, error.hint)
        else:
            sys.exit("it was to fail")
        _say("built", parts.ensure(plan, builder=asked["builder"]))


def _push_base(parts, plan):
    layers = [conda(), base_images.package(CONDA, "torch", "2.3.0+cpu")]
    diff_ids = [base_images.digest_of(base_images.archive(entries)) for entries in layers]
    config = {**config_of(), "created": "2026-01-02T03:04:05Z", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    push_image(parts.registry, plan.base_reference, tuple(map(layer, layers)), config=config)


def _say(*texts):
    sys.stdout.write(f"{' '.join(map(str, texts))}\n")


if __name__ == "__main__":
    main()
