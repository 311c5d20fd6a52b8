"""golden_tokens.py BIN DEVICE [CHECKPOINT…]: the golden checkpoints on a device, through real servers.

Starts the programs of the folder BIN with --device=DEVICE on each checkpoint of tests/golden, or those named, in one
process and as a coordinator with two expert workers over gRPC, all in float32, and holds the greedy tokens of
`generate` against those of Hugging Face Transformers. Exit code 1 where any differs, or a program fails.
"""

import json
import pathlib
import subprocess
import sys
import time

import servers

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_GOLDEN = _ROOT / "tests" / "golden"
_START_TIMEOUT_S = 120
_ANSWER_TIMEOUT_S = 120
# Folder of golden values: where the checkpoint is.
CHECKPOINTS = {"tiny_f32": _GOLDEN / "tiny_f32", "tiny_bf16_sharded": _GOLDEN / "tiny_bf16_sharded",
               "tiny_f16_window_tied": _GOLDEN / "tiny_f16_window_tied",
               "demo": _ROOT / "deploy" / "demo_model"}


def _greedy(programs, address, case):
    """What `generate` prints for a case's prompt; waits until the servers have loaded."""
    command = [programs / "generate", f"--target={address}", "--temperature=0", "--ignore_eos", "--json",
               f"--max_tokens={len(case['greedy_token_ids'])}",
               "--prompt_token_ids=" + ",".join(map(str, case["prompt_token_ids"]))]
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=False)
        if done.returncode == 0:
            return json.loads(done.stdout)["token_ids"]
        if "UNAVAILABLE" not in done.stderr or time.monotonic() > deadline:
            raise ChildProcessError(f"generate: exit code {done.returncode}: {done.stderr.strip()[-1000:]}")
        time.sleep(0.2)


def _compare(programs, device, name, in_process):
    """(tokens that were compared, cases that differ)."""
    cases = json.loads((_GOLDEN / name / "golden.json").read_text(encoding="utf-8"))["cases"]
    tokens, differing = 0, []
    flags = [f"--device={device}", "--compute=f32"]
    with servers.Servers(programs, CHECKPOINTS[name], flags, in_process,
                         start_timeout_s=_START_TIMEOUT_S) as started:
        for case in cases:
            found = _greedy(programs, started.address, case)
            tokens += len(found)
            if found != case["greedy_token_ids"]:
                differing.append(case["case"])
                print(f"{name}, case {case['case']}: expected {case['greedy_token_ids']}, found {found}")
    return tokens, differing


def main(programs, device, names):
    failed = False
    for name in names or CHECKPOINTS:
        for in_process in (True, False):
            where = "one process" if in_process else "coordinator and two expert workers"
            try:
                tokens, differing = _compare(programs, device, name, in_process)
            except (OSError, subprocess.SubprocessError) as error:
                print(f"{name}, {where}: {error}")
                failed = True
                continue
            print(f"{name} on {device}, {where}: {tokens} tokens, cases that differ: {differing or 'none'}")
            failed |= bool(differing) or tokens == 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3:]))
