"""The values that `tramontanectl plan` writes, held against the chart.

The argument is the folder of built programs. Where there is helm (render.py), the chart is rendered
with the values as well, and each workload compared with the plan.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import jsonschema
import yaml

import chart

PROGRAMS = None
HAS_HELM = bool(os.environ.get("HELM") or shutil.which("helm"))

MIXTRAL = {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "torch_dtype": "bfloat16",
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "num_local_experts": 8,
    "num_experts_per_tok": 2, "vocab_size": 32000, "max_position_embeddings": 32768,
}
MIXTRAL_8X22B = MIXTRAL | {
    "hidden_size": 6144, "intermediate_size": 16384, "num_hidden_layers": 56,
    "num_attention_heads": 48, "vocab_size": 32768, "max_position_embeddings": 65536,
}
# What is planned: a config.json and flags.
CASES = {
    "shards of two experts": (MIXTRAL, ["--users=16", "--context=8192", "--expert_memory=27GiB"]),
    "cores": (MIXTRAL, ["--users=16", "--context=8192", "--expert_memory=27GiB",
                        "--expert_cores=8", "--attention_cores=4"]),
    "attention workers": (MIXTRAL, ["--users=64", "--context=8192", "--expert_memory=24GiB",
                                    "--attention_cores=16", "--spare_attention_workers=1"]),
    "divided layers": (MIXTRAL_8X22B, ["--users=4", "--context=4096", "--expert_memory=16GiB",
                                       "--attention_memory=40GiB", "--replicas=3"]),
    "an expert on each GPU": (MIXTRAL, ["--users=8", "--context=8192", "--expert_memory=80GB",
                                        "--expert_gpus=1", "--experts_per_shard=1"]),
    "one worker in float32": (MIXTRAL, ["--users=1", "--expert_memory=1TiB", "--compute=f32",
                                        "--replicas=1"]),
}


def plan(config, flags):
    """(values, plan) of a config.json and flags."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        command = [str(PROGRAMS / "tramontanectl"), "plan", f"--model={path}", *flags]
        values = pathlib.Path(folder) / "values.yaml"
        done = subprocess.run([*command, "--json", f"--values_out={values}"], check=True,
                              capture_output=True, text=True, timeout=60)
        printed = subprocess.run([*command, "--values_out=-"], check=True, capture_output=True,
                                 text=True, timeout=60).stdout
        text = values.read_text(encoding="utf-8")
        if printed != text:
            raise AssertionError("the file of values and those on standard output differ")
        return yaml.safe_load(text), json.loads(done.stdout)


def quantity(text):
    """Bytes of a quantity of memory."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi|)", str(text)).groups()
    return int(number) * 1024 ** ["", "Ki", "Mi", "Gi"].index(unit)


class PlannedValuesTest(unittest.TestCase):

    def test_they_conform_to_the_schema(self):
        validator = jsonschema.Draft7Validator(chart.schema())
        for name, case in CASES.items():
            with self.subTest(name):
                values, _ = plan(*case)
                merged = chart.merged(chart.merged(chart.defaults(), chart.MODEL), values)
                self.assertEqual([error.message for error in validator.iter_errors(merged)], [])

    def test_they_say_what_the_plan_says(self):
        for name, case in CASES.items():
            with self.subTest(name):
                values, planned = plan(*case)
                self.assertEqual(values["model"]["numLayers"], case[0]["num_hidden_layers"])
                self.assertEqual(values["model"]["compute"], planned["compute"])
                self.assertEqual(values["attention"]["kvCacheTokens"], planned["kv_cache_tokens"])
                self.assertEqual(values["attentionWorkers"]["replicas"],
                                 planned["num_attention_workers"])
                self.assertEqual(quantity(values["coordinator"]["resources"]["limits"]["memory"]),
                                 planned["coordinator"]["give"])
                self.assertEqual(values["expertWorkers"].get("gpus", 0),
                                 1 if "--expert_gpus=1" in case[1] else 0)
                shards = values["expertWorkers"]["shards"]
                self.assertEqual(len(shards), len(planned["expert_shards"]))
                for shard, expected in zip(shards, planned["expert_shards"]):
                    self.assertIsInstance(shard["experts"], str)
                    flag = ":".join(filter(None, (shard.get("layers"), shard["experts"])))
                    self.assertEqual((shard["name"], flag, shard["replicas"]),
                                     (expected["name"], expected["experts_flag"],
                                      expected["replicas"]))
                    for kind in ("requests", "limits"):
                        self.assertEqual(quantity(shard["resources"][kind]["memory"]),
                                         expected["memory"]["give"])

    @unittest.skipUnless(HAS_HELM, "no helm in PATH, and HELM does not name one")
    def test_the_chart_renders_what_is_planned(self):
        import render  # pylint: disable=import-outside-toplevel
        for name, case in CASES.items():
            with self.subTest(name):
                values, planned = plan(*case)
                items = render.manifests(chart.merged(chart.MODEL, values))
                for shard in planned["expert_shards"]:
                    workload = f"expert-{shard['name']}"
                    self.assertEqual(render.workload(items, workload)["spec"]["replicas"],
                                     shard["replicas"])
                    self.assertEqual(self.experts(render.flags_of(items, workload)["experts"]),
                                     self.experts(shard["experts_flag"]))
                attention = "attention" if planned["num_attention_workers"] else "coordinator"
                flags = render.flags_of(items, attention)
                self.assertEqual(flags["kv_cache_tokens"], str(planned["kv_cache_tokens"]))
                self.assertEqual(flags.get("compute", "bf16"), planned["compute"])
                self.assertEqual(render.flags_of(items, "coordinator")["max_running_requests"],
                                 str(planned["users_per_attention"]))

    def test_the_table_of_the_documents_is_what_is_printed(self):
        page = (chart.ROOT / "docs/capacity.md").read_text(encoding="utf-8")
        command = re.search(r"^tramontanectl plan --model=DIR (.*)--values_out", page, re.MULTILINE)
        (table,) = re.findall(r"```\n(32 layers.*?)```", page, re.DOTALL)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "config.json"
            path.write_text(json.dumps(MIXTRAL), encoding="utf-8")
            printed = subprocess.run(
                [PROGRAMS / "tramontanectl", "plan", f"--model={path}", *command[1].split()],
                check=True, capture_output=True, text=True, timeout=60).stdout
        # A line with no more than "…" stands for any lines.
        self.assertRegex(printed.strip(), re.compile("(.+\n)+? *".join(
            re.escape(part.strip(" ")) for part in re.split("^ *…\n", table.strip(), flags=re.M))))

    @staticmethod
    def experts(flag):
        """The parts of --experts, whose order says nothing."""
        return sorted(flag.split(","))


if __name__ == "__main__":
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
