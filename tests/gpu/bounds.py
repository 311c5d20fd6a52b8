"""What a Mixtral must read and compute, and what fits on a machine. All sizes are bytes of bf16."""

import dataclasses
import re

_BYTES = 2
# Mixtral 8x7B, with a context that the measurements need.
MIXTRAL_8X7B = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
                "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 8, "num_experts_per_tok": 2,
                "vocab_size": 32000, "max_position_embeddings": 4096}
# Share of its bound that each figure is to reach, with CUDA graphs or without; others have no target.
TARGETS = {("one_process", "decode", 1): 0.80, ("one_process", "decode", 8): 0.75, ("one_process", "decode", 64): 0.75,
           ("one_process", "prefill", 1): 0.55, ("grpc", "decode", 1): 0.60}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Parameters of a config.json's parts."""
    num_layers: int
    num_experts: int
    top_k: int
    attention: int  # of a layer, the gate included
    expert: int
    embedding: int  # as large as the LM head
    kv_bytes: int  # of a token in all layers

    @classmethod
    def of(cls, config):
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        head_dim = config.get("head_dim") or hidden // heads
        kv_heads, layers = config["num_key_value_heads"], config["num_hidden_layers"]
        return cls(num_layers=layers, num_experts=config["num_local_experts"], top_k=config["num_experts_per_tok"],
                   attention=hidden * (head_dim * 2 * (heads + kv_heads) + config["num_local_experts"]),
                   expert=3 * hidden * config["intermediate_size"], embedding=config["vocab_size"] * hidden,
                   kv_bytes=layers * 2 * kv_heads * head_dim * _BYTES)

    @property
    def layer_bytes(self):
        return _BYTES * (self.attention + self.num_experts * self.expert)

    @property
    def end_bytes(self):
        return _BYTES * 2 * self.embedding

    @property
    def weight_bytes(self):
        return self.num_layers * self.layer_bytes + self.end_bytes

    def decode_bytes(self, batch, touched_experts, context):
        """Read for a token of each of `batch` sequences, which have `context` tokens each: attention, the experts that
        they touch (the mean of the layers), the LM head and the KV cache, each once."""
        weights = self.num_layers * (self.attention + touched_experts * self.expert) + self.embedding
        return _BYTES * weights + batch * context * self.kv_bytes

    def prefill_flop(self, num_tokens):
        """Of the products with weights; the LM head runs for one token, attention's scores do not count."""
        return 2 * num_tokens * self.num_layers * (self.attention + self.top_k * self.expert)


def layers_that_fit(config, device_bytes, reserved_bytes):
    """Of the config's layers; all where the device's memory (None) is not known."""
    sizes = Sizes.of(config)
    if device_bytes is None:
        return sizes.num_layers
    room = device_bytes - reserved_bytes - sizes.end_bytes
    return max(0, min(sizes.num_layers, int(room // sizes.layer_bytes)))


def expert_tokens(metrics):
    """{(layer, expert): pairs} of tramontane_expert_tokens_total in a Prometheus text."""
    found = {}
    for labels, value in re.findall(r"^tramontane_expert_tokens_total\{(.*)\} (\S+)$", metrics, re.MULTILINE):
        by_name = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        found[int(by_name["layer"]), int(by_name["expert"])] = float(value)
    return found


def touched_experts(before, after, batch, top_k):
    """Distinct experts that a step of `batch` tokens touches in a layer, the mean of the layers, where each token is
    routed as those between two expert_tokens() were, independently of the others. None where there were none."""
    layers = {}
    for (layer, expert), value in after.items():
        layers.setdefault(layer, []).append(value - before.get((layer, expert), 0))
    layers = [pairs for pairs in layers.values() if sum(pairs) > 0]
    if not layers:
        return None
    return sum(sum(1 - (1 - min(1, top_k * pair / sum(pairs))) ** batch for pair in pairs)
               for pairs in layers) / len(layers)


def figure(part, kind, batch, tokens_per_s, bound):
    """A measured rate beside its bound (None: not known) and its target."""
    fraction = tokens_per_s / bound if bound else None
    return {"part": part, "kind": kind, "batch": batch, "tokens_per_s": tokens_per_s, "bound_tokens_per_s": bound,
            "fraction": fraction, "target": TARGETS.get((part.removesuffix("_graphs").removesuffix("_unix"), kind, batch))}
