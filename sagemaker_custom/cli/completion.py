"""Name of a shell → the script that makes it complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    r"""Print a shell's completion script.

    \b
    bash, in ~/.bashrc:  eval "$(sagemaker-custom completion bash)"
    zsh, in ~/.zshrc:    eval "$(sagemaker-custom completion zsh)"
    fish:                sagemaker-custom completion fish > ~/.config/fish/completions/sagemaker-custom.fish
    """
    from sagemaker_custom.cli import PROGRAM

    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(shell)
    variable = f"_{PROGRAM}_COMPLETE".replace("-", "_").upper()
    click.echo(kind(ctx.find_root().command, {}, PROGRAM, variable).source())
