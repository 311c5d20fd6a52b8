"""measure_peak.py FILE: the bf16 products and the bytes a second that PyTorch reaches on this GPU, as JSON.

Random inputs of 8192 x 8192 x 8192, and a copy of 4 GB, its bytes read and written; medians of ten. Exits with 3 where
PyTorch or a device lacks.
"""

import json
import statistics
import sys

_SIZE = 8192
_COPIED_BYTES = 4 * 10 ** 9


def _seconds(torch, call):
    seconds = []
    for _ in range(13):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(seconds[3:])


def main(path):
    try:
        import torch
    except ImportError:
        print("left out: no PyTorch")
        return 3
    if not torch.cuda.is_available():
        print("left out: no CUDA device")
        return 3
    left, right = (torch.randn(_SIZE, _SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    flop_per_s = 2 * _SIZE ** 3 / _seconds(torch, lambda: torch.matmul(left, right))
    source = torch.randint(256, (_COPIED_BYTES,), device="cuda", dtype=torch.uint8)
    target = torch.empty_like(source)
    copy_bytes_per_s = 2 * _COPIED_BYTES / _seconds(torch, lambda: target.copy_(source))
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"device": torch.cuda.get_device_name(), "bf16_flop_per_s": flop_per_s,
                   "copy_bytes_per_s": copy_bytes_per_s}, file)
    print(f"{flop_per_s / 1e12:.0f} TFLOP/s, {copy_bytes_per_s / 1e9:.0f} GB/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
