"""check.py ROOT: checks the rules, their runbooks and the dashboards of the tree at ROOT. Needs no
network, only build/tools/bin/promtool (deploy/local/install_prometheus.sh)."""

import functools
import pathlib
import sys

import dashboard_checks
import dashboard_files
import rule_checks
import rule_files


def faults(root):
    """A sentence for everything that is wrong."""
    rules = rule_files.read(root)
    dashboards = dashboard_files.read(root)
    records = rule_files.records(rules)
    checks = [
        functools.partial(check, root, dashboards) for check in (
            dashboard_checks.generated, dashboard_checks.canonical, dashboard_checks.identities,
            dashboard_checks.places, dashboard_checks.explained, dashboard_checks.datasources,
            dashboard_checks.variables, dashboard_checks.chosen, dashboard_checks.shown)]
    checks += [
        functools.partial(dashboard_checks.exist, root, dashboards, records),
        functools.partial(rule_checks.parse, root, list(dashboard_checks.expressions(dashboards))),
        functools.partial(rule_checks.named, rules), functools.partial(rule_checks.annotated, rules),
        functools.partial(rule_checks.exist, root, rules),
        functools.partial(rule_checks.tested, root, rules),
        functools.partial(rule_checks.runbooks, root, rules),
        functools.partial(rule_checks.panel_names, root, dashboards)]
    for check in checks:
        yield from check()
    rule_paths = sorted(map(str, (root / "deploy/prometheus").glob("*.rules.yml")))
    test_paths = sorted(map(str, (root / "tests/deploy").glob("*_test.yml")))
    config = str(root / "deploy/prometheus/prometheus.yml")
    for arguments in (("check", "rules", "--lint=all", "--lint-fatal", *rule_paths),
                      ("test", "rules", *test_paths), ("check", "config", config)):
        if complaint := rule_checks.promtool(root, *arguments):
            yield complaint


def main(arguments):
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(arguments[0]).resolve()
    if not (root / "build/tools/bin/promtool").exists():
        print(f"error: no {root}/build/tools/bin/promtool; run deploy/local/install_prometheus.sh",
              file=sys.stderr)
        return 1
    found = list(faults(root))
    for fault in found:
        print(fault)
    print(f"{len(found)} faults" if found else "nothing is wrong with rules and dashboards")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
