"""The work that speed.py and peer.py measure, the same for both, and the files of their results."""

import json
import pathlib
import subprocess

import bounds

# Of the device's memory, what is left for the KV cache, activations and the contexts of three processes.
_RESERVED_BYTES = 8e9


def read_json(path):
    """What is in the file; an empty dict where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_json(path, value):
    """All of it or, should this be ended, what was there."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


def add_options(parser, decode_tokens):
    """OUT, and what the work is. `decode_tokens` is the default of that option."""
    parser.add_argument("out", type=lambda text: pathlib.Path(text).resolve(), metavar="OUT")
    parser.add_argument("--config", type=lambda path: json.loads(pathlib.Path(path).read_text(encoding="utf-8")),
                        default=bounds.MIXTRAL_8X7B, help="config.json of another model; default: Mixtral 8x7B")
    parser.add_argument("--layers", type=int, default=0,
                        help="0: as many as OUT/speed.json has or, without it, as the device holds")
    parser.add_argument("--batches", type=lambda text: [int(batch) for batch in text.split(",")], default="1,8,64")
    parser.add_argument("--prompt_tokens", type=int, default=16)
    parser.add_argument("--decode_tokens", type=int, default=decode_tokens)
    parser.add_argument("--prefill_tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)


def device_bytes():
    """Of the first GPU's memory, what is free; None without one."""
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"],
                              capture_output=True, text=True, timeout=30, check=True)
        return int(done.stdout.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def fitting_config(options):
    """The config with the layers that the options ask for."""
    # As many as an earlier part had: its device memory may not be free again yet.
    layers = options.layers or read_json(options.out / "speed.json").get("layers", 0)
    return {**options.config, "num_hidden_layers": layers or bounds.layers_that_fit(options.config, device_bytes(),
                                                                                   _RESERVED_BYTES)}


def in_order(batches, prefills):
    """The figures (kind, number): what every answer needs first, should the time end."""
    decodes = [("decode", batch) for batch in batches]
    return decodes[:1] + [("prefill", number) for number in prefills] + decodes[1:]
