"""The models that validate the catalog's documents → ``image_catalog/schemas``, for editors."""

from __future__ import annotations

import json
from pathlib import Path

from sagemaker_custom.catalog import json_schemas

SCHEMAS = Path(__file__).parent.parent / "image_catalog" / "schemas"


def main() -> None:
    """Write every schema."""
    SCHEMAS.mkdir(exist_ok=True)
    for name, text in texts().items():
        (SCHEMAS / name).write_text(text, encoding="utf-8")


def texts() -> dict[str, str]:
    """Return file name → content."""
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in json_schemas().items()
    }


if __name__ == "__main__":
    main()
