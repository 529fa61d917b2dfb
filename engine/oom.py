"""Out of memory, told from other errors; torch is not needed to find out."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the host is out of memory: CUDA, its libraries, MPS, the CPU's
    allocator, or Python itself."""
    told = str(error).lower()
    wants = "out of memory" in told or "can't allocate memory" in told
    return isinstance(error, MemoryError) or wants
