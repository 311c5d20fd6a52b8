"""measure_peak.py FILE: the bf16 products a second that PyTorch reaches on this GPU, as JSON.

Random inputs of 8192 x 8192 x 8192; the median of ten. Exits with 3 where PyTorch or a device lacks.
"""

import json
import statistics
import sys

_SIZE = 8192


def main(path):
    try:
        import torch
    except ImportError:
        print("no PyTorch")
        return 3
    if not torch.cuda.is_available():
        print("no CUDA device")
        return 3
    left, right = (torch.randn(_SIZE, _SIZE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(13):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        torch.matmul(left, right)
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    flop_per_s = 2 * _SIZE ** 3 / statistics.median(seconds[3:])
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"device": torch.cuda.get_device_name(), "bf16_flop_per_s": flop_per_s}, file)
    print(f"{flop_per_s / 1e12:.0f} TFLOP/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
