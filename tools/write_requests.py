"""The cases of ``tests/functional/request_cases.py`` on the SDK v2 → ``tests/data/requests_v2.json``."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tests" / "data" / "requests_v2.json"


def main() -> None:
    """Run every case, and write what SageMaker was asked for."""
    sys.path.insert(0, str(ROOT / "tests" / "functional"))
    os.environ |= {"SAGEMAKER_SUPPRESS_V2_WARNING": "1", "SAGEMAKER_CUSTOM_SDK_TELEMETRY": "off"}
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        # Neither the settings nor the configuration of whoever runs this have a say.
        os.environ |= {"HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        TABLE.write_text(_recorded(Path(folder)), encoding="utf-8")


def _recorded(folder: Path) -> str:
    from functional_parts import Cloud
    from request_cases import CASES, IS_V2, requests_of, write_code

    if not IS_V2:
        sys.exit("the table is what the SDK v2 asks for: run this where it is installed")
    code = write_code(folder / "code")
    with Cloud(folder) as cloud:
        cloud.create_bucket("data")
        return text({name: requests_of(name, cloud, code) for name in CASES})


def text(table: dict[str, Any]) -> str:
    """Return the content of the file.

    Args:
        table: Name of a case → its requests.
    """
    return json.dumps(table, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
