#!/usr/bin/env python3
"""Writes dashboards/*.json beside this file from serving.py, experts.py and process.py.

  deploy/grafana/generate.py           writes them
  deploy/grafana/generate.py --check   writes nothing; exit code 1 where a file is not what it would write
"""

import json
import pathlib
import sys

import experts
import process
import serving

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"
DASHBOARDS = {
    "serving.json": serving.dashboard, "experts.json": experts.dashboard,
    "process.json": process.dashboard}


def text(dashboard):
    """The canonical JSON: keys sorted, two spaces, one newline at the end."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def stale():
    """Names of files that are not what generate.py would write, and of files it does not write."""
    found = {path.name for path in FOLDER.glob("*.json")}
    for name in sorted(found | set(DASHBOARDS)):
        if name not in DASHBOARDS or name not in found or (
                (FOLDER / name).read_text(encoding="utf-8") != text(DASHBOARDS[name]())):
            yield name


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    if arguments:
        names = list(stale())
        for name in names:
            print(f"{FOLDER / name} is not what deploy/grafana/generate.py writes; run it",
                  file=sys.stderr)
        return 1 if names else 0
    FOLDER.mkdir(exist_ok=True)
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(text(dashboard()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
