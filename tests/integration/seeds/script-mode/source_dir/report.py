"""A module beside the script."""

import json
from pathlib import Path


def write_report(folder, **facts):
    Path(folder, "report.json").write_text(json.dumps(facts))
