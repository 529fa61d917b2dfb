"""The environment of every process that has torch in it."""

import os

_GPU_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""CUDA puts the fastest GPU first unless told; cuda:N then is what NVML and nvidia-smi call N."""


def for_torch() -> dict[str, str]:
    """Ours, with the GPUs in one order for the helper, the worker and `engine.hardware`."""
    return {**_GPU_ORDER, **os.environ}
