"""An image in a registry → its bill of materials, or its provenance."""

from __future__ import annotations

import click

from sagemaker_custom.cli.output import say


@click.command()
@click.argument("references", metavar="REFERENCE...", nargs=-1, required=True)
@click.option("--provenance", "wants_provenance", is_flag=True, help="How it was built, instead of what is in it.")
@click.option("--store", is_flag=True, help="Put both beside the image where they are missing; print nothing else.")
def sbom(references: tuple[str, ...], wants_provenance: bool, store: bool) -> None:
    """Print the bill of materials of images.

    REFERENCE is the URI of an image that was built here, as `build` and `resolve` print it. What the build has stored
    beside it is printed; where nothing is, it is computed from the image's labels. The output is CycloneDX JSON, or an
    in-toto statement, a document for each image.
    """
    from sagemaker_custom.evidence.artifact import PROVENANCE, SBOM
    from sagemaker_custom.reference import ImageReference
    from sagemaker_custom.wiring import Parts

    parts = Parts()
    kind = PROVENANCE if wants_provenance else SBOM
    with parts.progress() as progress:
        evidence = parts.workbench(progress).evidence
    for reference in map(ImageReference.parse, references):
        if store:
            written = evidence.store(reference)
            say("\n".join(f"stored {place}" for place in written) or f"both are beside {reference} already")
            continue
        document = evidence.stored(reference, kind)
        if document is None:
            say(f"nothing is stored beside {reference}: computed from its labels")
            document = evidence.computed(reference, kind)
        click.echo(document.decode())
