"""The shape of a block of samples: as many as a vector has lanes, or with bfloat16 half as many."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """32-bit words (height, channels / per_word, width, lanes), each lane being one sample.

    A word has `per_word` channels: 1 in float32, or 2 in bfloat16, the even one in the lower half.
    An odd number of `channels` is followed by one that is 0.
    """

    channels: int
    height: int
    width: int
    lanes: int
    per_word: int

    @property
    def stored(self) -> int:
        """Channels with the one that may follow."""
        return self.groups * self.per_word

    @property
    def groups(self) -> int:
        """Words that one pixel's channels take."""
        return -(-self.channels // self.per_word)

    @property
    def group(self) -> int:
        """Words of one group of channels in one row."""
        return self.width * self.lanes

    @property
    def row(self) -> int:
        """Words of one row."""
        return self.groups * self.group

    @property
    def size(self) -> int:
        """Words of the block."""
        return self.height * self.row

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.height, self.groups, self.width, self.lanes
