"""Evidence by hash: Merkle trees over hand-overs, proofs of inclusion, and the statement about a root that
is signed. Pure functions: no clock, no key, no storage. Trees are those of RFC 6962 section 2.1 with SM3 in
place of SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from signing.digest import sm3
from signing.errors import SigningError

HASH_BYTES = 32
LEAVES_MAX = 1 << 32
PROOF_HASHES_MAX = 32
EMPTY_ROOT = sm3(b"")
NO_STATEMENT = bytes(HASH_BYTES)

_STATEMENT_TAG = b"GOVHUB-EVIDENCE-1"
_STATEMENT_LINES = 10
_STATEMENT_LINES = 10
_LANE_BYTES_MAX = 256


def leaf_hash(data: bytes) -> bytes:
    """SM3(00 || data): a leaf can never pass for an inner node (second preimages, RFC 6962 section 2.1)."""
    return sm3(b"\x00" + data)


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sm3(b"\x01" + left + right)


@dataclass(slots=True)
class Frontier:
    """A growing tree in logarithmic memory: what a lane carries while it appends, and stores between
    transactions. `peaks` are the roots of the complete subtrees, largest first; their sizes are the bits of
    `size`."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> int:
        """Add a leaf hash (32 bytes); returns its index."""
        if self.size >= LEAVES_MAX:
            raise SigningError("evidence tree", f"holds at most {LEAVES_MAX} leaves")
        index, node, merged = self.size, _check_hash(leaf, "leaf"), self.size
        while merged & 1:
            node = _node_hash(self.peaks.pop(), node)
            merged >>= 1
        self.peaks.append(node)
        self.size += 1
        return index

    def root(self) -> bytes:
        """The root over everything appended so far."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = _node_hash(peak, node)
        return node

    def to_bytes(self) -> bytes:
        """size (8 bytes, big-endian) || peaks."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> Frontier:
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + HASH_BYTES * size.bit_count() or size > LEAVES_MAX:
            raise SigningError("evidence tree", "stored state is malformed")
        return cls(size, [data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES)])


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Merkle root of leaf hashes in order; EMPTY_ROOT for none."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The sibling hashes from leaf to root for the leaf at `index` (RFC 6962 section 2.1.1).

    One pass over the interval's leaves, level by level. Raises SigningError when there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise SigningError("evidence proof", f"no leaf {index} among {len(leaves)}")
    proof: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        pairs = [_node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(level) & ~1 :]
        index >>= 1
    return proof


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` is at `index` of the tree with `size` leaves and `root` (RFC 9162 section 2.1.3.2).

    False for any proof that does not fit; raises SigningError only for hashes of a wrong length.
    """
    if not 0 <= index < size <= LEAVES_MAX or len(proof) > PROOF_HASHES_MAX:
        return False
    node, at, last = _check_hash(leaf, "leaf"), index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        _check_hash(sibling, "proof")
        if at & 1 or at == last:
            node = _node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = _node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and node == _check_hash(root, "root")


def _check_hash(value: bytes, name: str) -> bytes:
    if len(value) != HASH_BYTES:
        raise SigningError(f"evidence {name}", f"must have {HASH_BYTES} bytes", "GB/T 32905")
    return value


@dataclass(frozen=True, slots=True)
class Chain:
    """A hash chain: what a lane extends by one link a batch. `head` fixes every record of every link so far,
    in order. head' = SM3(02 || head || number || for each record its length and bytes), numbers of 8 bytes,
    big-endian."""

    links: int = 0
    head: bytes = NO_STATEMENT

    def extend(self, records: Iterable[bytes]) -> Chain:
        """One link further."""
        links = self.links + 1
        parts = [b"\x02", self.head, links.to_bytes(8, "big")]
        for record in records:
            parts.append(len(record).to_bytes(8, "big"))
            parts.append(record)
        return Chain(links, sm3(b"".join(parts)))

    def to_bytes(self) -> bytes:
        """links (8 bytes, big-endian) || head."""
        return self.links.to_bytes(8, "big") + self.head

    @classmethod
    def from_bytes(cls, data: bytes) -> Chain:
        """Raises SigningError."""
        if len(data) != 8 + HASH_BYTES:
            raise SigningError("evidence chain", "stored state is malformed")
        return cls(int.from_bytes(data[:8], "big"), data[8:])


@dataclass(frozen=True, slots=True)
class RootStatement:
    """What is signed for a lane and an interval: `size` hand-overs from position `first_offset` to
    `last_offset` have the Merkle root `root`; closed at `closed_at_ms`. `previous` is the digest of the
    statement before it, so that whoever holds any later statement holds all of history fixed. `chain` is the
    head of the lane's own hash chain after `last_offset`, zeros where the lane keeps none."""

    lane: str
    sequence: int
    first_offset: int
    last_offset: int
    size: int
    root: bytes
    closed_at_ms: int
    previous: bytes = NO_STATEMENT
    chain: bytes = NO_STATEMENT

    def to_bytes(self) -> bytes:
        """The signed bytes: ASCII lines joined by LF; hashes in lower-case hex, numbers in decimal."""
        lane = self.lane.encode("utf-8")
        if not 1 <= len(lane) <= _LANE_BYTES_MAX or b"\n" in lane:
            raise SigningError("evidence lane", f"must be one line of at most {_LANE_BYTES_MAX} bytes")
        numbers = (self.sequence, self.first_offset, self.last_offset, self.size, self.closed_at_ms)
        if any(not 0 <= n < 1 << 63 for n in numbers):
            raise SigningError("evidence statement", "numbers must lie in 0 .. 2^63-1")
        hashes = [
            _check_hash(value, name).hex()
            for name, value in (("root", self.root), ("previous", self.previous), ("chain", self.chain))
        ]
        return b"\n".join((_STATEMENT_TAG, lane, *(str(v).encode("ascii") for v in (*numbers, *hashes))))

    @classmethod
    def from_bytes(cls, data: bytes) -> RootStatement:
        """The statement that these signed bytes are. Raises SigningError for any other bytes."""
        lines = data.split(b"\n", _STATEMENT_LINES)
        try:
            if len(lines) != _STATEMENT_LINES or lines[0] != _STATEMENT_TAG:
                raise ValueError
            sequence, first, last, size, closed = (int(line) for line in lines[2:7])
            root, previous, chain = (bytes.fromhex(line.decode("ascii")) for line in lines[7:])
            lane = lines[1].decode("utf-8")
            found = cls(lane, sequence, first, last, size, root, closed, previous, chain)
        except ValueError as bad:
            raise SigningError("evidence statement", "is not a statement about a root") from bad
        if found.to_bytes() != data:
            raise SigningError("evidence statement", "is not in its one written form")
        return found

    def digest(self) -> bytes:
        """What the next statement names as `previous`."""
        return sm3(self.to_bytes())


def chain_break(statements: Sequence[RootStatement]) -> int | None:
    """Index of the first statement that does not follow the one before it (same lane, next sequence, its
    digest, positions that do not go back), or None when the chain holds."""
    for at in range(1, len(statements)):
        before, this = statements[at - 1], statements[at]
        follows = (
            this.lane == before.lane
            and this.sequence == before.sequence + 1
            and this.previous == before.digest()
            and this.first_offset > before.last_offset
            and this.closed_at_ms >= before.closed_at_ms
        )
        if not follows:
            return at
    return None
