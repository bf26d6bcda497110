"""An inventory → where in the image each part of a wheel goes. Pure."""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass

from sagemaker_custom.errors import BuildError
from sagemaker_custom.inventory import Inventory

# The kernel cuts the first line of a script off after so many bytes (BINPRM_BUF_SIZE of Linux before 5.1).
_LONGEST_SHEBANG = 127
# What file systems of Linux take; an image with a longer name could be pushed, and never be pulled.
_LONGEST_NAME = 255
_LONGEST_PATH = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The places of one base; two bases with the same places share their layers."""

    python: str
    """The interpreter that scripts name."""
    site_packages: str
    scripts: str
    data: str
    """What ``sys.prefix`` is to pip."""
    headers: str
    """Each distribution gets a folder in it."""

    @classmethod
    def of(cls, inventory: Inventory) -> Layout:
        """Take the places of an inventory; the prefix is the folder that ``bin`` is in, as on every POSIX system."""
        prefix = posixpath.dirname(inventory.scripts)
        short = ".".join(inventory.python_version.split(".")[:2])
        return cls(
            python=inventory.python,
            site_packages=inventory.site_packages,
            scripts=inventory.scripts,
            data=prefix,
            headers=posixpath.join(prefix, "include", f"python{short}"),
        )

    def place(self, scheme: str, path: str, distribution: str) -> str:
        """Return the absolute path in the image of a wheel's file.

        Args:
            scheme: A scheme of the wheel format: ``purelib``, ``platlib``, ``headers``, ``scripts`` or ``data``.
            path: Path within the scheme.
            distribution: Name in the wheel's file name.

        Raises:
            BuildError: The path leaves its scheme, or would be read as an instruction to delete.
        """
        root = {"scripts": self.scripts, "data": self.data, "headers": f"{self.headers}/{distribution}"}.get(
            scheme, self.site_packages
        )
        parts = path.split("/")
        # A layer's file ".wh.x" deletes x; backslashes, drives and what cannot be printed are no names of Linux's.
        is_strange = "\\" in path or parts[0][1:2] == ":" or not path.isprintable()
        is_long = len(path.encode(errors="replace")) > _LONGEST_PATH or any(
            len(part.encode(errors="replace")) > _LONGEST_NAME for part in parts
        )
        is_bad = {"", ".", ".."} & set(parts) or any(part.startswith(".wh.") for part in parts)
        if is_bad or is_strange or is_long:
            raise BuildError(
                f"the wheel of {distribution} has a file {path[:_LONGEST_NAME]!r}, which cannot stand in an image",
                hint="the wheel is malformed or harmful: do not install it, and tell its authors",
            )
        return posixpath.join(root, path)

    @property
    def shebang(self) -> bytes:
        """The first line of scripts, with its line end; three lines where the kernel could not read it."""
        simple = f"#!{self.python}\n".encode()
        if len(simple) <= _LONGEST_SHEBANG and b" " not in simple:
            return simple
        # sh runs the second line; to Python the lines are a string that nobody uses.
        return f"#!/bin/sh\n'''exec' {shlex.quote(self.python)} \"$0\" \"$@\"\n' '''\n".encode()

    def script(self, module: str, attribute: str) -> bytes:
        """Return the program of an entry point, which no release of an installer changes."""
        lines = (
            "import sys",
            f"from {module} import {attribute.partition('.')[0]}",
            'if __name__ == "__main__":',
            f"    sys.exit({attribute}())",
        )
        return self.shebang + "".join(f"{line}\n" for line in lines).encode()
