"""What the GPU scripts compute and decide without a GPU: bounds, the work, shared layers, steps, their deadline, the
report."""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

import bounds
import layered_checkpoint
import report
import work

_HERE = pathlib.Path(__file__).resolve().parent


class BoundsTest(unittest.TestCase):

    def setUp(self):
        self.sizes = bounds.Sizes.of(bounds.MIXTRAL_8X7B)

    def test_the_sizes_are_those_of_mixtral_8x7b(self):
        # 46.70e9 parameters, of which 12.88e9 act on a token; those of the norms do not count.
        self.assertAlmostEqual(self.sizes.weight_bytes / 2e9, 46.70, delta=0.01)
        active = 32 * (self.sizes.attention + 2 * self.sizes.expert) + 2 * self.sizes.embedding
        self.assertAlmostEqual(active / 1e9, 12.88, delta=0.01)
        self.assertEqual(self.sizes.kv_bytes, 131072)

    def test_decode_reads_each_touched_expert_once(self):
        one, all_experts = self.sizes.decode_bytes(1, 2, 0), self.sizes.decode_bytes(64, 8, 0)
        self.assertEqual(all_experts - one, 2 * 32 * 6 * self.sizes.expert)
        self.assertEqual(self.sizes.decode_bytes(64, 8, 100) - all_experts, 64 * 100 * 131072)

    def test_prefill_is_two_operations_a_parameter(self):
        self.assertAlmostEqual(self.sizes.prefill_flop(2048), 2 * 2048 * 12.62e9, delta=0.01 * 2 * 2048 * 12.62e9)

    def test_layers_fit_in_the_memory_that_is_left(self):
        self.assertEqual(bounds.layers_that_fit(bounds.MIXTRAL_8X7B, None, 8e9), 32)
        self.assertEqual(bounds.layers_that_fit(bounds.MIXTRAL_8X7B, 150e9, 8e9), 32)
        self.assertEqual(bounds.layers_that_fit(bounds.MIXTRAL_8X7B, 85e9, 8e9), 26)
        self.assertEqual(bounds.layers_that_fit(bounds.MIXTRAL_8X7B, 5e9, 8e9), 0)

    def test_touched_experts_follow_the_routing(self):
        text = ('# HELP x\ntramontane_expert_tokens_total{layer="0",expert="0"} 10\n'
                'tramontane_expert_tokens_total{expert="1",layer="0"} 3e1\n')
        self.assertEqual(bounds.expert_tokens(text), {(0, 0): 10, (0, 1): 30})
        even = {(0, expert): 100 for expert in range(8)}
        self.assertAlmostEqual(bounds.touched_experts({}, even, 1, 2), 2)
        self.assertAlmostEqual(bounds.touched_experts({}, even, 8, 2), 8 * (1 - 0.75 ** 8))
        before = {(0, expert): 100 if expert > 1 else 0 for expert in range(8)}
        self.assertAlmostEqual(bounds.touched_experts(before, even, 64, 2), 2)
        self.assertIsNone(bounds.touched_experts(even, even, 1, 2))

    def test_a_figure_has_its_fraction_and_target(self):
        figure = bounds.figure("one_process", "decode", 8, 60, 80)
        self.assertEqual((figure["fraction"], figure["target"]), (0.75, 0.75))
        self.assertIsNone(bounds.figure("grpc", "decode", 8, 60, None)["fraction"])
        for part in ("grpc_graphs", "grpc_unix", "grpc_unix_graphs"):
            self.assertEqual(bounds.figure(part, "decode", 1, 60, 80)["target"], 0.60)


class WorkTest(unittest.TestCase):

    def options(self, out, *arguments):
        parser = argparse.ArgumentParser()
        work.add_options(parser, decode_tokens=72)
        return parser.parse_args([str(out), *arguments])

    def test_layers_are_those_asked_for_or_of_the_part_before(self):
        out = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        work.write_json(out / "speed.json", {"layers": 5})
        self.assertEqual(work.fitting_config(self.options(out)), {**bounds.MIXTRAL_8X7B, "num_hidden_layers": 5})
        self.assertEqual(work.fitting_config(self.options(out, "--layers=3"))["num_hidden_layers"], 3)

    def test_the_config_and_the_batches_are_read(self):
        options = self.options("out", f"--config={_HERE / 'tiny_config.json'}", "--batches=1,2")
        self.assertEqual((options.config["hidden_size"], options.batches), (64, [1, 2]))
        self.assertEqual(self.options("out").batches, [1, 8, 64])

    def test_what_every_answer_needs_comes_first(self):
        self.assertEqual(work.in_order([1, 8, 64], [2048]),
                         [("decode", 1), ("prefill", 2048), ("decode", 8), ("decode", 64)])


class LayeredCheckpointTest(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_a_shared_layer_has_its_own_names_and_the_other_ones_bytes(self):
        library = layered_checkpoint.build_preload(self.folder)
        if library is None:
            self.skipTest("no compiler")
        names = [f"model.layers.0.tensor_with_a_long_name_{i}.weight" for i in range(40)]
        header = json.dumps({name: {"dtype": "BF16", "shape": [1], "data_offsets": [2 * i, 2 * i + 2]}
                             for i, name in enumerate(names)}).encode()
        header = header.ljust(8192 - 8)
        data = bytes(range(80))
        (self.folder / "a").write_bytes(struct.pack("<Q", len(header)) + header + data)
        layered_checkpoint._alias(self.folder / "a", self.folder / "b", 17)
        read = ("import mmap, sys; file = open(sys.argv[1], 'rb'); "
                "mapped = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ); "
                "sys.stdout.buffer.write(mapped[:])")
        done = subprocess.run([sys.executable, "-c", read, self.folder / "b"], capture_output=True, check=True,
                              env={**os.environ, "LD_PRELOAD": str(library)})
        (size,) = struct.unpack("<Q", done.stdout[:8])
        self.assertEqual(list(json.loads(done.stdout[8:8 + size])), [name.replace(".0.", ".17.") for name in names])
        self.assertEqual(done.stdout[8 + size:], data)
        self.assertEqual((self.folder / "b").stat().st_size, len(done.stdout))


class RunTest(unittest.TestCase):
    """run.sh's steps, without any that builds."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_steps(self, commands, deadline=570, only=""):
        text = (_HERE / "run.sh").read_text(encoding="utf-8")
        functions = text[text.index("# wanted NAME"):text.index("unpack_sysroot() {")]
        script = f'ONLY={only} RESULTS="{self.folder}" DEADLINE_SECONDS={deadline} MIN_STEP_SECONDS=2\n'
        script += f"STEP_TIMEOUT_SECONDS=20\n{functions}\nbegin_results\n{commands}"
        subprocess.run(["bash", "-uc", script], check=False, capture_output=True)
        return [line.split("\t")[:2] for line in (self.folder / "steps.tsv").read_text(encoding="utf-8").splitlines()]

    def test_each_end_of_a_step_is_recorded(self):
        steps = self.run_steps("step a true; step b false; step c sh -c 'echo left out: no torch; exit 3'; "
                               "step d sh -c 'exit 3'; STEP_TIMEOUT_SECONDS=2 step e sleep 9")
        self.assertEqual(steps, [["a", "passed"], ["b", "FAILED: exit code 1"], ["c", "left out: no torch"],
                                 ["d", "left out: no device"], ["e", "FAILED: more than 2 s"]])

    def test_the_deadline_ends_a_step_and_leaves_out_the_next(self):
        self.assertEqual(self.run_steps("step a sleep 9; step b true", deadline=3),
                         [["a", "left out: no time, ended"], ["b", "left out: no time"]])

    def test_only_the_steps_asked_for_run_and_the_others_are_kept(self):
        self.run_steps("step a true; step b false; step c true")
        steps = self.run_steps("step a true; step b true; step c true", only="b,c")
        self.assertEqual(steps, [["a", "passed"], ["b", "passed"], ["c", "passed"]])


class ReportTest(unittest.TestCase):

    def page(self, **files):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "steps.tsv").write_text("speed\tpassed\t9\n", encoding="utf-8")
        for name, value in files.items():
            (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        return report.page(report.collect(folder))

    def test_speed_stands_beside_bound_target_and_peer(self):
        figure = {**bounds.figure("one_process", "decode", 1, 80, 100), "touched_experts": 2.0}
        page = self.page(speed={"parts": {"one_process": {"figures": [figure], "errors": ["decode 8: broke"],
                                                          "left_out": ["prefill 2048"]}}},
                         peer={"library": "transformers 5", "layers": 32,
                               "figures": [{"kind": "decode", "batch": 1, "tokens_per_s": 20},
                                           {"kind": "decode", "batch": 64, "tokens_per_s": 90}]})
        self.assertIn(
            "| one_process | decode, batch 1, 2.00 experts a layer | 80.0 | 100.0 | 0.80 | 0.80 | 20.0 | 4.00 |", page)
        self.assertIn("| peer alone | decode, batch 64 | | | | | 90.0 | |", page)
        self.assertIn("one_process: FAILED: decode 8: broke", page)
        self.assertIn("one_process: left out: no time for prefill 2048", page)

    def test_what_was_not_measured_is_absent(self):
        self.assertNotIn("Whole requests", self.page())
        self.assertIn("No kernels were measured", self.page())


if __name__ == "__main__":
    unittest.main()
