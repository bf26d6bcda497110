"""The command line: arguments → one call → exit code of the error tree; a command is imported when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile

import click

from sagemaker_custom._version import __version__
from sagemaker_custom.cli.lazy import LazyCommand, LazyGroup

PROGRAM = "sagemaker-custom"

COMMANDS = (
    LazyCommand("resolve", "sagemaker_custom.cli.plan:resolve", "Print the URI of an image, stock or extended."),
    LazyCommand("plan", "sagemaker_custom.cli.plan:plan", "Say which image would be used or built, and why."),
    LazyCommand("build", "sagemaker_custom.cli.build:build", "Build images and put them in their place."),
    LazyCommand("images", "sagemaker_custom.cli.images:images", "List the built images of a registry."),
    LazyCommand("lock", "sagemaker_custom.cli.lock:lock", "Print what makes an image again, wheel by wheel."),
    LazyCommand("scan", "sagemaker_custom.cli.scan:scan", "Print what the scan of an image found."),
    LazyCommand("sbom", "sagemaker_custom.cli.sbom:sbom", "Print the bill of materials of images."),
    LazyCommand("prune", "sagemaker_custom.cli.prune:prune", "Remove images that nothing uses."),
    LazyCommand("extras", "sagemaker_custom.cli.extras:extras", "List recipes, and what they install."),
    LazyCommand("mirror", "sagemaker_custom.cli.mirror:mirror", "Bring a base image from another region."),
    LazyCommand("login", "sagemaker_custom.cli.login:login", "Log docker in to the account's registry."),
    LazyCommand("catalog", "sagemaker_custom.cli.catalog:catalog", "Check, list and renew image catalogs."),
    LazyCommand("iam", "sagemaker_custom.cli.iam:iam", "Print the IAM policy of ROUTE."),
    LazyCommand("doctor", "sagemaker_custom.cli.doctor:doctor", "Check this machine and its credentials."),
    LazyCommand("sandbox", "sagemaker_custom.cli.sandbox:sandbox", "Run a whole AWS to try things on."),
    LazyCommand("completion", "sagemaker_custom.cli.completion:completion", "Print a shell's completion script."),
)


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Log what happens, and show where an error comes from.")
def cli(debug: bool) -> None:
    """Extend the Amazon SageMaker deep learning images."""
    if debug:
        import logging

        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        # Not the root's: the logs of boto and urllib3 hold tokens.
        logging.getLogger("sagemaker_custom").setLevel(logging.DEBUG)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and exit.

    Args:
        arguments: Default: those of the process.
    """
    from sagemaker_custom.cli.failures import Report, end_on_signals

    if arguments is None:
        # Else it is a program's own process, which has its own way to end.
        end_on_signals()
    given = list(sys.argv[1:] if arguments is None else arguments)
    report = Report(
        as_json="--json" in takewhile(lambda word: word != "--", given),
        show_traceback="--debug" in takewhile(lambda word: word.startswith("-"), given),
    )
    sys.exit(report.run(lambda: cli.main(given, prog_name=PROGRAM, standalone_mode=False)))
