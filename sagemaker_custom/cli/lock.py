"""An image in a registry → the lock of its wheels, which makes it again."""

from __future__ import annotations

import click


@click.command()
@click.argument("reference", metavar="REFERENCE")
def lock(reference: str) -> None:
    """Print what makes an image again, wheel by wheel.

    REFERENCE is the URI of an appended image, as `build` and `resolve` print it. The output is for `build --lock`, and
    for lock= of the classes.
    """
    from sagemaker_custom.builders.store import RegistryStore
    from sagemaker_custom.locks import lock_text_of
    from sagemaker_custom.plain_text import plain_json
    from sagemaker_custom.reference import ImageReference
    from sagemaker_custom.wiring import Parts

    click.echo(plain_json(lock_text_of(ImageReference.parse(reference), RegistryStore(Parts().registry))))
