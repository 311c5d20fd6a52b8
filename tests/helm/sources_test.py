"""What the chart says of the programs, held against the programs: flags, metrics, ports, images.

With a folder of built programs as argument, each is asked for its flags as well.
"""

import pathlib
import re
import subprocess
import sys
import unittest

import chart

# Where each program's flags are defined; files of another program among them are left out.
SOURCES = {
    "coordinator": (["coordinator/main.cc", "coordinator/grpc", "attention_worker/grpc",
                     "expert_worker/grpc/backend_flags.cc", "proto/serving"],
                    ["attention_worker/grpc/main.cc", "proto/serving/worker_port.cc"]),
    "attention_worker": (["attention_worker/grpc", "expert_worker/grpc/backend_flags.cc",
                          "proto/serving"], []),
    "expert_worker": (["expert_worker/grpc", "proto/serving"], []),
    "generate": (["coordinator/generate"], []),
}
# Whose flags a template's definition lists.
LISTED = {
    "tramontane.processFlags": ["coordinator", "attention_worker", "expert_worker"],
    "tramontane.stepFlags": ["coordinator", "attention_worker"],
    "tramontane.attentionFlags": ["coordinator", "attention_worker"],
    "tramontane.coordinatorFlags": ["coordinator"],
    "tramontane.attentionWorkerFlags": ["attention_worker"],
    "tramontane.expertWorkerFlags": ["expert_worker"],
    "tramontane.testFlags": ["generate"],
}
_FLAG = re.compile(r"(?:^- |printf \")--([a-z0-9_]+)", re.MULTILINE)
_METRIC = re.compile(r"\btramontane_[a-z0-9_]*[a-z0-9]\b")
BUILT = None


def definitions():
    """The text of each named template."""
    for text in chart.templates().values():
        for part in re.split(r"\{\{-? define \"", text)[1:]:
            yield part.split('"', 1)[0], part


def listed_flags():
    """(definition, flag) of every flag that a template writes."""
    for name, text in definitions():
        for flag in _FLAG.findall(text):
            yield name, flag


def source_flags(program):
    wanted, others = SOURCES[program]
    found = set()
    for name in wanted:
        path = chart.ROOT / name
        for file in [path] if path.is_file() else sorted(path.glob("*.cc")):
            if str(file.relative_to(chart.ROOT)) not in others:
                text = file.read_text(encoding="utf-8")
                found.update(re.findall(r"ABSL_FLAG\(\s*[^;]*?,\s*([a-z0-9_]+),", text))
    return found


class FlagsTest(unittest.TestCase):

    def test_every_flag_is_one_of_the_program(self):
        seen = set()
        for name, flag in listed_flags():
            self.assertIn(name, LISTED, f"--{flag} is in a definition whose program is not known")
            seen.add(name)
            for program in LISTED[name]:
                with self.subTest(f"{program} --{flag}"):
                    self.assertIn(flag, source_flags(program))
        self.assertEqual(seen, set(LISTED), "a definition that writes no flag any more")

    def test_built_programs_have_them_too(self):
        if BUILT is None:
            self.skipTest("no folder of built programs was given")
        known = {}
        for program in SOURCES:
            text = subprocess.run([BUILT / program, "--helpfull"], capture_output=True, text=True,
                                  timeout=60, check=False).stdout
            known[program] = set(re.findall(r"^\s+--([a-z0-9_]+) \(", text, re.MULTILINE))
            self.assertTrue(known[program], f"{program} --helpfull lists no flag")
        for name, flag in listed_flags():
            for program in LISTED[name]:
                with self.subTest(f"{program} --{flag}"):
                    self.assertIn(flag, known[program])

    def test_extra_flags_cannot_repeat_what_the_chart_sets(self):
        owned = dict(definitions())["tramontane.checkFlags"].split("$owned := dict", 1)[1]
        owned = re.findall(r'"([^"]+)"', owned.split("-}}", 1)[0])[::2]
        written = {flag for name, flag in listed_flags() if name != "tramontane.testFlags"}
        self.assertEqual(sorted(owned), sorted(written))


class MetricsTest(unittest.TestCase):

    def test_every_metric_is_documented(self):
        documented = set(re.findall(r"`(tramontane_[a-z0-9_]+)`",
                                    (chart.ROOT / "docs/metrics.md").read_text(encoding="utf-8")))
        self.assertTrue(documented)
        # What the metrics adapter makes of them for an HPA is not of the processes.
        made = {chart.defaults()["expertWorkers"]["autoscaling"]["podsMetric"],
                "tramontane_expert_worker_rows_per_second"}
        texts = chart.templates()
        for path in ("docs/kubernetes.md", "helm/tramontane/values.yaml"):
            texts[path] = (chart.ROOT / path).read_text(encoding="utf-8")
        for path, text in texts.items():
            for name in set(_METRIC.findall(text)) - made:
                with self.subTest(f"{path}: {name}"):
                    self.assertIn(re.sub("_(sum|count|bucket)$", "", name), documented)


class ImagesTest(unittest.TestCase):

    def setUp(self):
        self.dockerfile = (chart.ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
        self.values = chart.defaults()

    def test_names_are_those_that_are_built(self):
        built = set(re.findall(r'image\.title="([^"]+)"', self.dockerfile))
        used = {self.values[role]["image"]["repository"]
                for role in ("coordinator", "expertWorkers", "attentionWorkers", "helmTest")}
        self.assertEqual(used, built)

    def test_the_user_is_the_image_s(self):
        user, group = re.search(r"^USER (\d+):(\d+)$", self.dockerfile, re.MULTILINE).groups()
        security = self.values["podSecurity"]
        self.assertEqual((security["runAsUser"], security["runAsGroup"]), (int(user), int(group)))

    def test_ports_are_those_that_are_exposed(self):
        text = chart.templates()["templates/_ports.tpl"]
        ports = {int(port) for port in re.findall(r"\}\}(\d+)\{\{", text)}
        exposed = {int(port) for line in re.findall(r"^EXPOSE (.+)$", self.dockerfile, re.MULTILINE)
                   for port in line.split()}
        self.assertEqual(ports, exposed)

    def test_versions_are_the_project_s(self):
        cmake = (chart.ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
        version = re.search(r"project\(tramontane VERSION ([0-9.]+)", cmake).group(1)
        about = chart.read_yaml(chart.CHART / "Chart.yaml")
        self.assertEqual(about["appVersion"], version)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        BUILT = pathlib.Path(sys.argv.pop(1))
    unittest.main()
