"""Every structure rule finds what it is for in a tree made to break it, and nothing in others."""

import pathlib
import tempfile
import unittest

import check_tree

GUARDED = "#ifndef TRAMONTANE_MODEL_A_H_\n#define TRAMONTANE_MODEL_A_H_\n#endif\n"


class RulesTest(unittest.TestCase):

    def faults(self, rule, files):
        with tempfile.TemporaryDirectory() as root:
            for name, text in files.items():
                path = pathlib.Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return list(check_tree.RULES[rule](root))

    def assert_one_fault(self, rule, files, words):
        faults = self.faults(rule, files)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(words, faults[0])

    def assert_include(self, path, included, refused):
        faults = self.faults("include_direction", {path: f'#include "{included}"\n'})
        self.assertEqual(bool(faults), refused, f"{path} includes {included}: {faults}")

    def test_includes_that_go_up_are_refused(self):
        for path, included in (
                ("model/a.cc", "kernels/matmul.h"), ("kernels/a.cc", "attention_worker/a.h"),
                ("expert_worker/a.cc", "attention_worker/a.h"),
                ("attention_worker/a.cc", "expert_worker/a.h"),
                ("expert_worker/grpc/a.cc", "attention_worker/a.h"),
                ("attention_worker/grpc/a.cc", "coordinator/a.h"),
                ("proto/wire/a.cc", "kernels/a.h"), ("kernels/a.cc", "tests/fakes/a.h")):
            self.assert_include(path, included, refused=True)

    def test_includes_that_go_down_are_allowed(self):
        for path, included in (
                ("kernels/a.cc", "model/a.h"), ("expert_worker/a.cc", "kernels/a.h"),
                ("coordinator/a.cc", "attention_worker/a.h"),
                ("attention_worker/grpc/a.cc", "expert_worker/a.h"), ("model/a.cc", "vector"),
                ("model/a.cc", "absl/status/status.h"), ("tests/kernels/a.cc", "coordinator/a.h")):
            self.assert_include(path, included, refused=False)

    def test_a_core_that_includes_transport_is_refused(self):
        for included in ("grpcpp/grpcpp.h", "google/protobuf/message.h", "proto/expert.pb.h",
                         "attention_worker/grpc/grpc_expert_client.h"):
            self.assert_include("attention_worker/decoder.cc", included, refused=True)

    def test_an_adapter_may_include_transport(self):
        for path in ("attention_worker/grpc/a.cc", "coordinator/generate/a.cc",
                     "coordinator/tramontanectl/a.cc",
                     "coordinator/main.cc", "proto/wire/a.cc", "tests/integration/a.cc"):
            self.assert_include(path, "grpcpp/grpcpp.h", refused=False)

    def test_cuda_is_refused_outside_its_folder(self):
        self.assert_include("kernels/cpu/a.cc", "cuda_runtime.h", refused=True)
        self.assert_include("tests/kernels/a_test.cc", "cuda_runtime.h", refused=True)
        self.assert_include("kernels/cuda/a.cc", "cuda_runtime.h", refused=False)
        self.assert_include("tests/kernels/cuda_emulation/a.cc", "cuda_runtime.h", refused=False)

    def test_a_core_that_links_transport_is_refused(self):
        self.assert_one_fault("link_direction", {
            "expert_worker/CMakeLists.txt":
                "target_link_libraries(expert_worker_core\n  PUBLIC kernels PkgConfig::GRPC)\n"
                "target_link_libraries(expert_worker_grpc PUBLIC proto_wire)\n"}, "PkgConfig::GRPC")

    def test_a_link_that_goes_up_is_refused(self):
        self.assert_one_fault("link_direction", {
            "kernels/CMakeLists.txt": "target_link_libraries(kernels PUBLIC coordinator_core)\n"},
            "coordinator_core")

    def test_an_unknown_top_level_name_is_refused(self):
        self.assert_one_fault("top_level", {"common/a.h": "", "model/a.h": ""}, "common")

    def test_an_empty_file_name_is_refused(self):
        self.assert_one_fault("file_names", {"model/tensor_util.cc": "", "model/a.cc": ""}, "util")

    def test_a_long_file_is_refused(self):
        self.assert_one_fault("file_size", {"model/a.cc": "\n" * 401, "model/b.cc": "\n" * 400},
                              "model/a.cc: 401")

    def test_a_wrong_header_guard_is_refused(self):
        self.assertEqual(self.faults("header_guards", {"model/a.h": GUARDED}), [])
        self.assert_one_fault("header_guards", {"model/b.h": GUARDED}, "TRAMONTANE_MODEL_B_H_")

    def test_a_mark_of_unfinished_work_is_refused(self):
        self.assert_one_fault("unfinished", {"model/a.cc": "// TO" "DO(me): later\n"},
                              "model/a.cc:1")

    def test_a_link_that_leads_nowhere_is_refused(self):
        self.assert_one_fault("doc_links", {
            "docs/a.md": "[b](b.md) [c](c.md#part) [d](https://example.com) [e](#part)\n",
            "docs/b.md": ""}, "c.md#part")

    def test_a_kernel_that_does_not_begin_by_awaiting_the_one_ahead_is_refused(self):
        kernel = "template <int kTiles>\n__global__ void __launch_bounds__(kTiles* 2)\n    %s(int n) {\n%s}\n"
        both = "  LetNextStart();\n  AwaitPrevious();  // why\n"
        first = "  LetNextStart();\n  // why\n  Load();\n  AwaitPrevious();\n"
        self.assertEqual(self.faults("kernel_starts", {
            "kernels/cuda/a.cu": kernel % ("AKernel", both) + kernel % ("FewRowsKernel", first),
            "tests/a.cu": kernel % ("AKernel", "")}), [])
        for body in ("", "  AwaitPrevious();\n", "  LetNextStart();\n", first):
            self.assert_one_fault("kernel_starts", {
                "kernels/cuda/a.cu": kernel % ("AKernel", both) + kernel % ("BKernel", body)},
                "BKernel")


if __name__ == "__main__":
    unittest.main()
