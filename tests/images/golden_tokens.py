"""The greedy tokens of Hugging Face Transformers, by a client's container."""

import json

from cluster import ROOT

_GOLDEN = ROOT / "tests" / "golden" / "demo" / "golden.json"


def check_golden_tokens(cluster):
    """(faults, cases, tokens that were compared)."""
    faults, tokens = [], 0
    cases = json.loads(_GOLDEN.read_text(encoding="utf-8"))["cases"]
    for case in cases:
        expected = case["greedy_token_ids"]
        done = cluster.client(
            "generate", "--target=coordinator:8470", "--allow_plaintext_beyond_loopback",
            "--prompt_token_ids=" + ",".join(map(str, case["prompt_token_ids"])),
            f"--max_tokens={len(expected)}", "--temperature=0", "--ignore_eos", "--json",
            "--timeout_s=120")
        if done.returncode != 0:
            faults.append(f"golden case {case['case']}: generate: exit code {done.returncode}: "
                          f"{done.stderr.strip()[-500:]}")
            continue
        found = json.loads(done.stdout)["token_ids"]
        tokens += len(found)
        if found != expected:
            faults.append(f"golden case {case['case']}: expected {expected}, found {found}")
    if not cases or tokens == 0:
        faults.append(f"{_GOLDEN}: no tokens were compared")
    return faults, len(cases), tokens
