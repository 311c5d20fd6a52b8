"""Runs helm on the chart, and finds its way in what comes out."""

import os
import re
import shutil
import subprocess
import tempfile

import yaml

import chart

RELEASE = "demo"
NAMESPACE = "tramontane-dry-run"
WORKLOADS = ("Deployment", "StatefulSet")


class Refused(Exception):
    """helm did not render; str() is what it said."""


def helm():
    """The helm client: $HELM, or the one in PATH."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if not found:
        raise SystemExit("error: no helm: expected it in PATH, or its path in HELM")
    return found


def run(arguments, values):
    """helm with `values`, a dict, as its values file: (exit code, output, errors)."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        done = subprocess.run([helm(), *arguments, "-f", file.name], capture_output=True, text=True,
                              timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def text(values, *options, folder=chart.CHART):
    """All manifests as one text. Refused where helm refuses the values."""
    code, out, err = run(["template", RELEASE, str(folder), "--namespace", NAMESPACE,
                          "--kube-version", "1.34.0", *options], values)
    if code != 0:
        raise Refused(err)
    return out


def manifests(values, *options, folder=chart.CHART):
    return [item for item in yaml.safe_load_all(text(values, *options, folder=folder)) if item]


def rendered_with(path, value, base=None):
    """Manifests of the least values, or of `base`, with `value` at the dotted path."""
    return manifests(chart.merged(base or chart.MODEL, chart.at(path, value)))


def notes(values):
    """What helm tells after an installation. `helm template` leaves it out, and `helm install`
    wants a cluster: so it is rendered as a manifest of a copy of the chart."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(chart.CHART, os.path.join(folder, chart.CHART.name))
        source = os.path.join(copy, "templates", "NOTES.txt")
        with open(source, encoding="utf-8") as file:
            body = file.read()
        os.remove(source)
        with open(os.path.join(copy, "templates", "notes.yaml"), "w", encoding="utf-8") as file:
            file.write('{{- define "notes" }}' + body + '{{ end -}}\n'
                       'kind: Notes\ntext: {{ include "notes" . | toJson }}\n')
        (item,) = of_kind(manifests(values, "--show-only", "templates/notes.yaml", folder=copy),
                          "Notes")
        return item["text"]


def of_kind(items, *kinds):
    return [item for item in items if item["kind"] in kinds]


def name_of(item):
    return f"{item['kind']}/{item['metadata']['name']}"


def pod_template(item):
    return item["spec"]["template"]


def pods(items):
    """(workload or test pod, metadata, spec) of everything that becomes a pod."""
    for item in items:
        if item["kind"] in WORKLOADS:
            template = pod_template(item)
            yield item, template["metadata"], template["spec"]
        elif item["kind"] == "Pod":
            yield item, item["metadata"], item["spec"]


def flags(container):
    """{"listen": "0.0.0.0:8470", …}; a flag without a value is "true"."""
    found = {}
    for argument in container["args"]:
        match = re.fullmatch(r"--([a-z0-9_]+)(?:=(.*))?", argument, re.DOTALL)
        if not match:
            raise AssertionError(f"{argument!r} is no --name=value")
        if match.group(1) in found:
            raise AssertionError(f"--{match.group(1)} is given twice")
        found[match.group(1)] = match.group(2) if match.group(2) is not None else "true"
    return found


def selects(selector, labels):
    """Whether a LabelSelector, or a Service's plain map, takes these labels."""
    plain = selector if not {"matchLabels", "matchExpressions"} & selector.keys() else \
        selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in plain.items()):
        return False
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] != "In":
            raise AssertionError(f"an operator that this test does not know: {rule}")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def workload(items, name):
    """The Deployment or StatefulSet RELEASE-tramontane-NAME."""
    (found,) = [item for item in of_kind(items, *WORKLOADS)
                if item["metadata"]["name"] == f"{RELEASE}-tramontane-{name}"]
    return found


def pod(items, name):
    return pod_template(workload(items, name))["spec"]


def container(items, name):
    return pod(items, name)["containers"][0]


def flags_of(items, name):
    return flags(container(items, name))


def of_name(items, kind, name):
    (found,) = [item for item in of_kind(items, kind) if item["metadata"]["name"] == name]
    return found
