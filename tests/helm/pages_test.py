"""The helm and kubectl commands of the documents, tried in the order in which a reader meets them.

The argument is the folder of built programs, whose tramontanectl makes the values that a page plans.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

import chart
import planned_values_test
import render

PROGRAMS = None
PAGES = [chart.ROOT / "README.md", *sorted((chart.ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
# Objects that kubectl is given by kind and name.
_OBJECT = re.compile(r"\b(statefulset|deployment|deploy|service)[ /]"
                     r"([a-z0-9]+)(-tramontane[-a-z0-9]*)")
_KINDS = {"statefulset": "StatefulSet", "deployment": "Deployment", "deploy": "Deployment",
          "service": "Service"}
# Of installations, not of what is rendered; with the number of words that follow.
_NOT_RENDERED = {"--wait": 0, "--timeout": 1}


def parts(text):
    """("yaml", block) and ("sh", command) of a page, in its order."""
    end = 0
    for block in [*_BLOCK.finditer(text), None]:
        for inline in _INLINE.findall(text[end:block.start() if block else len(text)]):
            yield "sh", " ".join(inline.split())
        if block is None:
            return
        end = block.end()
        if block[1] == "sh":
            for line in block[2].replace("\\\n", " ").splitlines():
                yield "sh", line.strip()
        elif block[1] == "yaml":
            yield "yaml", block[2]


def unquoted_brackets(command):
    """Words that a shell would take for patterns of file names."""
    return [word for word in shlex.shlex(command, punctuation_chars=False, posix=False)
            if "[" in word and not set("'\"") & set(word)]


class Reader:
    """Does in a folder of its own what a page says, and remembers what was rendered last."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.objects = {}
        (self.folder / "config.json").write_text(
            json.dumps(planned_values_test.MIXTRAL), encoding="utf-8")

    def run(self, command):
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120,
                              check=False)
        if done.returncode != 0:
            raise render.Refused(f"{shlex.join(map(str, command))}: {done.stderr}")
        return done.stdout

    def plan(self, words):
        self.run([PROGRAMS / "tramontanectl", *(
            "--model=config.json" if word == "--model=DIR" else word for word in words[1:])])

    def keep_values(self, text):
        """An example of values with shards is the file that later commands name."""
        values = yaml.safe_load(text)
        if isinstance(values, dict) and "shards" in values.get("expertWorkers", {}):
            (self.folder / "values.yaml").write_text(text, encoding="utf-8")

    def install(self, words):
        release, folder, *options = words[2:]
        kept = []
        while options:
            word = options.pop(0)
            if word in _NOT_RENDERED:
                del options[:_NOT_RENDERED[word]]
            else:  # --set model.pvc.claimName=CLAIM: a word for the reader's own
                kept.append(re.sub(r"=([A-Z]+)$", lambda found: "=" + found[1].lower(), word))
        items = yaml.safe_load_all(self.run([render.helm(), "template", release,
                                             str(chart.ROOT / folder), "--kube-version",
                                             "1.34.0", *kept]))
        self.objects = {(item["kind"], item["metadata"]["name"].removeprefix(release))
                        for item in items if item}

    def missing(self, command):
        """What the command names and the last release has not, whatever its name is."""
        for kind, release, rest in _OBJECT.findall(command):
            if (_KINDS[kind], rest) not in self.objects:
                yield f"no {kind} {release}{rest}"

    def follow(self, kind, text):
        """What is wrong with one part of a page."""
        words = text.split()[:2] if kind == "sh" else []
        if kind == "yaml":
            self.keep_values(text)
        elif words == ["tramontanectl", "plan"] and "--model=" in text:
            self.plan(shlex.split(text))
        elif words in (["helm", "install"], ["helm", "upgrade"]) and len(text.split()) > 3:
            yield from (f"{word}: expected quotes" for word in unquoted_brackets(text))
            self.install(shlex.split(text))
        elif words[:1] == ["kubectl"] and self.objects:
            yield from self.missing(text)


@unittest.skipUnless(os.environ.get("HELM") or shutil.which("helm"), "no helm")
class PagesTest(unittest.TestCase):

    def faults(self, text):
        with tempfile.TemporaryDirectory() as folder:
            reader = Reader(folder)
            for kind, part in parts(text):
                try:
                    yield from (f"{part}: {fault}" for fault in reader.follow(kind, part))
                except render.Refused as refused:
                    yield f"{part}: {refused}"

    def test_every_page_can_be_followed(self):
        with_helm = 0
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            with_helm += "helm install" in text
            with self.subTest(page.name):
                self.assertEqual(list(self.faults(text)), [])
        self.assertGreaterEqual(with_helm, 4)

    def test_what_cannot_be_followed_is_found(self):
        install = "helm install a helm/tramontane --set model.pvc.claimName=CLAIM --wait\n"
        for command, words in (
                ("helm upgrade a helm/tramontane --wait --timeout 60m", "found nothing"),
                ("kubectl scale statefulset a-tramontane-expert-b --replicas=4",
                 "statefulset a-tramontane-expert-b"),
                ("kubectl exec deploy/a-tramontane -- true", "deploy a-tramontane"),
                (install.strip() + " --set expertWorkers.shards[0].name=b", "expected quotes")):
            faults = list(self.faults(f"```sh\n{install}{command}\n```\n"))
            self.assertTrue(faults and words in faults[0], faults)
            faults = list(self.faults(f"```sh\n{install}```\nIt is `{command}`.\n"))
            self.assertTrue(faults and words in faults[0], faults)
        self.assertEqual(list(self.faults(f"```sh\n{install}```\n")), [])


if __name__ == "__main__":
    PROGRAMS = planned_values_test.PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
