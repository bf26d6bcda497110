"""Region and account → docker knows the password of the registry there, which no command line and no output shows."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from sagemaker_custom.cli.options import account_option, region_option
from sagemaker_custom.cli.output import json_option, print_document
from sagemaker_custom.errors import EngineUnavailableError, RegistryAccessDeniedError, UsageError

if TYPE_CHECKING:
    from sagemaker_custom.reference import RegistryCredentials
    from sagemaker_custom.wiring import Parts

_BASES = "dlc"
"""The account set that publishes the deep learning images."""


@click.command()
@region_option
@account_option
@click.option("--base", is_flag=True, help="Log in to AWS's registry of base images in the region too.")
@json_option
def login(region: str | None, account: str | None, base: bool, as_json: bool) -> None:
    """Log docker in to the account's registry.

    The password is handed to the docker command by its standard input. It is good for twelve hours.
    """
    from sagemaker_custom.wiring import Parts

    parts = Parts(region=region)
    program = shutil.which("docker")
    if program is None:
        raise EngineUnavailableError(
            "there is no docker command on PATH", hint="install Docker's command line; building here does not need it"
        )
    where = parts.aws.region
    accounts = [account or parts.settings.account or parts.aws.account_id()]
    if base:
        accounts.append(_publisher(parts, where))
    hosts = [parts.catalog.partitions.registry_host(number, where) for number in accounts]
    for host in hosts:
        address = _log_in(program, parts, host)
        if not as_json:
            click.echo(f"docker is logged in to {host}" + (f", at {address}" if address != host else ""))
    if as_json:
        print_document({"registries": hosts})


def _publisher(parts: Parts, region: str) -> str:
    accounts = parts.catalog.partitions.accounts[_BASES]
    if region not in accounts:
        raise UsageError(
            f"AWS publishes no deep learning images in {region}", hint="leave --base out, or name another --region"
        )
    return accounts[region]


def _log_in(program: str, parts: Parts, host: str) -> str:
    credentials = parts.registry_credentials(host)
    if credentials is None:
        raise UsageError(f"{host} is not a registry of ECR", hint="log in to it with docker itself")
    # Docker keeps passwords by the address that it speaks to, which the setting registry_endpoints may change.
    address = urlsplit(parts.settings.endpoint_for(host)).netloc
    said = _docker_login(program, address, credentials)
    if said.returncode:
        lines = said.stderr.strip().splitlines()
        raise RegistryAccessDeniedError(
            f"docker could not log in to {address}: {lines[-1] if lines else f'exit code {said.returncode}'}",
            hint="sagemaker-custom doctor tells whether the engine and the credentials work",
        )
    return address


def _docker_login(program: str, address: str, credentials: RegistryCredentials) -> subprocess.CompletedProcess[str]:
    command = [program, "login", "--username", credentials.username, "--password-stdin", address]
    return subprocess.run(command, input=credentials.password, capture_output=True, text=True, check=False)
