"""What this machine computes with."""

from typing import Any

import torch


def gpus() -> list[dict[str, Any]]:
    """The GPUs that this process sees: {"name", "bytes", "bfloat16"} each."""
    found = []
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        # Since Ampere (8.0); `is_bf16_supported` counts emulation too.
        found.append({"name": about.name, "bytes": about.total_memory, "bfloat16": about.major >= 8})
    return found
