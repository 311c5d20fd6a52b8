"""Rules and dashboards that the chart carries, since a chart reads no file outside its folder.

    copies.py           says which differ from deploy/, and fails where any does
    copies.py --write   makes them equal
"""

import argparse
import sys

import chart

# Originals, below deploy/, and where their copies are, below the chart.
COPIED = (("prometheus", "*.rules.yml", "files/prometheus"),
          ("grafana/dashboards", "*.json", "files/dashboards"))


def _contents(folder, pattern):
    return {path.name: path.read_bytes() for path in sorted(folder.glob(pattern))}


def faults():
    for source, pattern, target in COPIED:
        originals = _contents(chart.ROOT / "deploy" / source, pattern)
        copies = _contents(chart.CHART / target, "*")
        if not originals:
            yield f"deploy/{source}: expected {pattern}, found none"
        for name in sorted(originals.keys() | copies.keys()):
            if name not in copies:
                yield f"helm/tramontane/{target}/{name}: there is no copy of deploy/{source}/{name}"
            elif name not in originals:
                yield f"helm/tramontane/{target}/{name}: deploy/{source} has no such file"
            elif originals[name] != copies[name]:
                yield f"helm/tramontane/{target}/{name}: differs from deploy/{source}/{name}"


def write():
    for source, pattern, target in COPIED:
        originals = _contents(chart.ROOT / "deploy" / source, pattern)
        folder = chart.CHART / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.name not in originals:
                path.unlink()
        for name, content in originals.items():
            (folder / name).write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the copies equal")
    if parser.parse_args().write:
        write()
    found = list(faults())
    for fault in found:
        print(fault)
    if found:
        print("run: python3 tests/helm/copies.py --write")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
