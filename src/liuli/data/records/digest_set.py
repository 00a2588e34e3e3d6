"""A set of digests that takes little memory, to find repeated texts."""

from collections import defaultdict


class DigestSet:
    """Digests of 16 bytes, in about 16 bytes each (Python's own set takes 100): for each first two bytes the other bytes of
    all digests in one string."""

    def __init__(self) -> None:
        self._tails: defaultdict[bytes, bytearray] = defaultdict(bytearray)

    def add(self, digest: bytes) -> bool:
        """Adds it. Returns whether it was there before."""
        there = digest in self
        if not there:
            self._tails[digest[:2]] += digest[2:]
        return there

    def __contains__(self, digest: bytes) -> bool:
        tails, tail = self._tails[digest[:2]], digest[2:]
        at = tails.find(tail)
        while at >= 0 and at % len(tail):
            at = tails.find(tail, at + 1)
        return at >= 0
