"""The chart as a dependency of another one."""

import pathlib
import shutil
import tempfile
import unittest

import yaml

import chart
import render


def manifests(values):
    """What a parent chart with the dependency `tramontane`, on condition, makes of its values."""
    with tempfile.TemporaryDirectory() as folder:
        parent = pathlib.Path(folder) / "parent"
        shutil.copytree(chart.CHART, parent / "charts" / "tramontane")
        version = chart.read_yaml(chart.CHART / "Chart.yaml")["version"]
        (parent / "Chart.yaml").write_text(yaml.safe_dump({
            "apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [
                {"name": "tramontane", "version": version, "condition": "tramontane.enabled"}]}),
            encoding="utf-8")
        return render.manifests(values, folder=parent)


class SubchartTest(unittest.TestCase):

    def test_it_is_there_on_condition(self):
        for enabled in (True, False):
            items = manifests({"tramontane": {**chart.MODEL, "enabled": enabled}})
            self.assertEqual(bool(items), enabled)

    def test_it_is_what_it_is_alone(self):
        self.assertEqual(manifests({"global": {"any": "thing"}, "tramontane": chart.MODEL}),
                         render.manifests(chart.MODEL))

    def test_a_registry_of_all_charts_goes_before_its_own(self):
        items = manifests({"global": {"imageRegistry": "mirror.example.com/"}, "tramontane": {
            **chart.MODEL, "image": {"registry": "registry.example.com"}}})
        images = {container["image"] for _, _, spec in render.pods(items)
                  for container in spec["containers"]}
        self.assertEqual({image.rpartition("/tramontane/")[0] for image in images},
                         {"mirror.example.com"})


if __name__ == "__main__":
    unittest.main()
