"""Which vectors a processor has, from the features that LLVM lists."""

import pytest

from normscope.training.lanes.target import Target, of_features

KNOWN = {
    "AVX-512": ("+avx2,+fma,+avx512f,-avx512bf16", Target(16, bfloat16=False)),
    "AVX-512 with bfloat16": ("+avx2,+fma,+avx512f,+avx512bf16", Target(16, bfloat16=True)),
    "AVX-512 with tiles": (
        "+avx2,+fma,+avx512f,+avx512bf16,+amx-tile,+amx-bf16",
        Target(16, bfloat16=True, tiles=True),
    ),
    "AVX2": ("+avx,+avx2,+fma,-avx512f", Target(8, bfloat16=False)),
    "ARM": ("+neon,+fp-armv8", Target(4, bfloat16=False)),
    "AVX2 without multiply-add": ("+avx2,-fma", None),
    "an old one": ("+sse2", None),
    "nothing listed": ("", None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_vectors_follow_from_the_features(name):
    features, expected = KNOWN[name]
    assert of_features(features) == expected
