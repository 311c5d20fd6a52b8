"""Fetches the published definitions of the custom resources that the chart renders.

    definitions.py FOLDER     writes one CustomResourceDefinition a file; needs go

They come as Go modules, at pinned versions, and are not part of this tree.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import yaml

# Module, version, and which of its files.
MODULES = (
    ("github.com/prometheus-operator/prometheus-operator", "v0.79.2",
     ["example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
      "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
      "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"]),
    ("github.com/cert-manager/cert-manager", "v1.16.2",
     ["deploy/crds/crd-certificates.yaml", "deploy/crds/crd-issuers.yaml"]),
    ("github.com/kedacore/keda/v2", "v2.16.1", ["config/crd/bases/keda.sh_scaledobjects.yaml"]),
    ("sigs.k8s.io/gateway-api", "v1.2.1",
     ["config/crd/standard/gateway.networking.k8s.io_grpcroutes.yaml"]),
)
FETCH_TIMEOUT_S = 600


def module_folder(name, version):
    """Where go keeps the module's files; it fetches them where it has to."""
    with tempfile.TemporaryDirectory() as nowhere:  # no go.mod of somebody else's around it
        done = subprocess.run(["go", "mod", "download", "-json", f"{name}@{version}"], cwd=nowhere,
                              capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        answer = {"Error": done.stderr.strip() or "go said nothing"}
    if done.returncode != 0 or "Dir" not in answer:
        raise SystemExit(f"error: {name}@{version}: {answer.get('Error', done.stderr)}")
    return pathlib.Path(answer["Dir"])


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, version, files in MODULES:
        source = module_folder(name, version)
        for file in files:
            definition = yaml.safe_load((source / file).read_text(encoding="utf-8"))
            # cert-manager's are templates of its chart in labels and annotations, and only there.
            metadata = definition["metadata"]
            metadata.pop("labels", None)
            metadata["annotations"] = {
                key: value for key, value in metadata.get("annotations", {}).items()
                if key == "api-approved.kubernetes.io"}
            path = folder / f"{definition['metadata']['name']}.yaml"
            path.write_text(yaml.safe_dump(definition), encoding="utf-8")
            print(f"{definition['metadata']['name']} of {name} {version}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if shutil.which("go") is None:
        sys.exit("error: no go, by which the definitions are fetched")
    write(pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
