"""Checkpoints of random weights whose layers may share the host's memory."""

import json
import pathlib
import shutil
import struct
import subprocess
import time

_PAGE = 4096
_HERE = pathlib.Path(__file__).resolve().parent


def build_preload(folder):
    """The library of shared_layers.c, built in `folder`; None where there is no compiler."""
    library = folder / "shared_layers.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    done = subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _HERE / "shared_layers.c", "-ldl"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"shared_layers.c: {done.stderr[-1000:]}")
        return None
    return library


def _alias(source, target, layer):
    """Writes `target`: the tensors of the shard `source` as those of another layer, its data by reference."""
    with open(source, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    begin = 8 + size
    renamed = {}
    for name, entry in header.items():
        parts = name.split(".")
        if parts[:2] == ["model", "layers"]:
            parts[2] = str(layer)
        renamed[".".join(parts)] = entry
    text = json.dumps(renamed, separators=(",", ":")).encode()
    pages = -(-(8 + len(text)) // _PAGE)
    text = text.ljust(pages * _PAGE - 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(pages * _PAGE + source.stat().st_size - begin)
    pathlib.Path(f"{target}.same").write_text(f"{pages * _PAGE} {begin} {source}\n", encoding="utf-8")


def write(writer, config, folder, num_distinct, seed=1):
    """Writes a checkpoint of `config` to `folder`, with the program `writer` (synthetic_checkpoint): the first
    `num_distinct` layers have weights of their own, the others share theirs in turn, for programs that run with
    build_preload()'s library. (bytes written, seconds)."""
    flags = {"hidden_size": "hidden_size", "intermediate_size": "intermediate_size", "num_heads": "num_attention_heads",
             "num_kv_heads": "num_key_value_heads", "head_dim": "head_dim", "vocab_size": "vocab_size",
             "num_experts": "num_local_experts", "top_k": "num_experts_per_tok",
             "max_position_embeddings": "max_position_embeddings"}
    begun = time.monotonic()
    subprocess.run([writer, f"--output={folder}", f"--num_layers={num_distinct}", f"--seed={seed}",
                    *(f"--{flag}={config[key]}" for flag, key in flags.items())], check=True)
    written = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    index_path, config_path = folder / "model.safetensors.index.json", folder / "config.json"
    index = json.loads(index_path.read_text(encoding="utf-8"))
    shard_of = index["weight_map"]
    for layer in range(num_distinct, config["num_hidden_layers"]):
        prefix = f"model.layers.{layer % num_distinct}."
        names = [name for name in shard_of if name.startswith(prefix)]
        shard = f"layer-{layer:05d}.safetensors"
        _alias(folder / shard_of[names[0]], folder / shard, layer)
        shard_of.update({f"model.layers.{layer}.{name[len(prefix):]}": shard for name in names})
    index_path.write_text(json.dumps(index), encoding="utf-8")
    full = json.loads(config_path.read_text(encoding="utf-8"))
    full["num_hidden_layers"] = config["num_hidden_layers"]
    config_path.write_text(json.dumps(full), encoding="utf-8")
    return written, time.monotonic() - begun
