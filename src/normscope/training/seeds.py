"""Named random streams: every use of randomness in a trial has its own generator.

A stream depends on the seed and on its name, and on nothing else the process does, so a norm that
is added later, or a probe that draws numbers, changes no other trial.
"""

import hashlib

import torch


def generator(seed: int, stream: str, device: str | torch.device = "cpu") -> torch.Generator:
    """A new generator for one stream ("init", "order", "augment", "dropout", ...) of one seed."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    # 63 bits: torch takes a signed 64-bit seed.
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
