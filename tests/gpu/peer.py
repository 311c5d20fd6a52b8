"""peer.py OUT [OPTION…]: the speed of Hugging Face Transformers on this GPU, as OUT/peer.json.

The same config as speed.py's, with as many layers, random bf16 weights made on the device, Transformers' defaults
for attention and experts, and its dynamic cache: tokens a second of greedy decode at some batch sizes, from the
difference of two lengths of generate(), and of the prefill of one prompt. Each figure is written as soon as it is
there.
Exits with 3 where PyTorch, Transformers or a device lacks, with 1 where a figure failed.
"""

import argparse
import json
import statistics
import sys
import time

import work

_SHORT_TOKENS = 8


def _make_model(torch, transformers, config):
    others = ("architectures", "model_type", "torch_dtype")
    fields = {name: value for name, value in config.items() if name not in others}
    # No token ends a sequence.
    made = transformers.MixtralConfig(**fields, bos_token_id=1, eos_token_id=None, pad_token_id=0)
    with torch.device("cuda"):
        try:
            model = transformers.AutoModelForCausalLM.from_config(made, dtype=torch.bfloat16)
        except TypeError:  # before version 4.56
            model = transformers.AutoModelForCausalLM.from_config(made, torch_dtype=torch.bfloat16)
    model.eval()
    model.generation_config.eos_token_id = None
    return model


class Peer:
    """A model, and times of its calls in seconds."""

    def __init__(self, torch, model, vocab_size):
        self._torch, self._model, self._vocab_size = torch, model, vocab_size

    def _prompts(self, batch, length):
        return self._torch.randint(3, self._vocab_size, (batch, length), device="cuda")

    def _seconds(self, call):
        self._torch.cuda.synchronize()
        begun = time.perf_counter()
        call()
        self._torch.cuda.synchronize()
        return time.perf_counter() - begun

    def _generate(self, batch, prompt_tokens, new_tokens):
        prompts = self._prompts(batch, prompt_tokens)
        mask = self._torch.ones_like(prompts)
        return self._seconds(lambda: self._model.generate(
            prompts, attention_mask=mask, do_sample=False, min_new_tokens=new_tokens, max_new_tokens=new_tokens,
            use_cache=True))

    def decode_step(self, batch, prompt_tokens, new_tokens, repeats):
        """Of a step that makes a token of each sequence."""
        self._generate(batch, prompt_tokens, _SHORT_TOKENS)
        steps = new_tokens - _SHORT_TOKENS
        return statistics.median(
            (self._generate(batch, prompt_tokens, new_tokens) - self._generate(batch, prompt_tokens, _SHORT_TOKENS)) /
            steps for _ in range(repeats))

    def prefill(self, num_tokens, repeats):
        def run():
            prompts = self._prompts(1, num_tokens)
            return self._seconds(
                lambda: self._model(prompts, use_cache=True, logits_to_keep=1).logits.argmax(-1).item())

        run()
        return statistics.median(run() for _ in range(repeats))


def _measure(options, peer, results, path):
    for kind, batch in work.in_order(options.batches, [1]):
        try:
            if kind == "decode":
                seconds = peer.decode_step(batch, options.prompt_tokens, options.decode_tokens, options.repeats)
                rate = batch / seconds
            else:
                seconds = peer.prefill(options.prefill_tokens, options.repeats)
                rate = options.prefill_tokens / seconds
            results["figures"].append({"kind": kind, "batch": batch, "tokens_per_s": rate, "seconds": seconds})
            print(f"{kind} {batch}: {rate:.1f} tokens/s", flush=True)
        except Exception as error:  # another figure may do, such as one that takes less memory
            results["errors"].append(f"{kind} {batch}: {error}"[:500])
            print(results["errors"][-1], flush=True)
        work.write_json(path, results)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    work.add_options(parser, decode_tokens=72)
    options = parser.parse_args(arguments)
    try:
        import torch
        import transformers
    except ImportError as error:
        print(f"left out: no {error.name}")
        return 3
    if not torch.cuda.is_available():
        print("left out: no CUDA device")
        return 3
    config = work.fitting_config(options)
    path = options.out / "peer.json"
    results = {"library": f"transformers {transformers.__version__}, torch {torch.__version__}",
               "layers": config["num_hidden_layers"], "figures": [], "errors": []}
    torch.manual_seed(1)
    begun = time.monotonic()
    try:
        model = _make_model(torch, transformers, config)
        torch.cuda.synchronize()
        results.update(make_s=time.monotonic() - begun, device_bytes=torch.cuda.memory_allocated(),
                       attention=str(getattr(model.config, "_attn_implementation", None)),
                       experts=str(getattr(model.config, "_experts_implementation", None)))
        print(json.dumps(results), flush=True)
        with torch.inference_mode():
            _measure(options, Peer(torch, model, config["vocab_size"]), results, path)
    except Exception as error:
        results["errors"].append(f"making the model: {error}"[:500])
        print(results["errors"][-1], flush=True)
        work.write_json(path, results)
    return 1 if results["errors"] or not results["figures"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
