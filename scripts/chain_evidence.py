"""Verifies chain evidence (docs/formats/chain-evidence.md): that a contract accepted
a checkpoint in a block, given the hash of that block and nothing else. Keccak-256,
RLP and Merkle-Patricia proofs with the standard library alone.
"""
import re

# Code hashes of the contract: that of this release, and of earlier builds.
CODE = ("4485d963b7d7b95258b335726c7d2e2021a0fe217d37d9a975c6c902b846c67b",
        "3d4f4c1ef64b886ee65ce79cb4eec03ba0c2b7a13934c7d136b9d8b59e4d1426")


class Refused(Exception):
    pass


def want(condition, text):
    if not condition:
        raise Refused(text)


def unhex(text, octets=None):
    want(isinstance(text, str) and re.fullmatch("(?:[0-9a-f]{2})*", text), "not lower-case hexadecimal: %r" % (text,))
    value = bytes.fromhex(text)
    want(octets is None or len(value) == octets, "%d octets, want %s" % (len(value), octets))
    return value


def unhex0x(text, octets=None):
    want(isinstance(text, str) and text.startswith("0x"), "not hexadecimal behind 0x: %.40r" % (text,))
    return unhex(text[2:], octets)


# Keccak-f[1600] (FIPS 202, Section 3.3) with the padding of 2011, which Ethereum keeps

def round_constants():
    lfsr, out = 1, []
    for _ in range(24):
        rc = 0
        for j in range(7):
            if lfsr & 1:
                rc |= 1 << (1 << j) - 1
            lfsr = lfsr << 1 ^ (0x171 if lfsr & 0x80 else 0)
        out.append(rc)
    return out


RC, MASK = round_constants(), (1 << 64) - 1


def rol(v, n):
    n %= 64
    return (v << n | v >> 64 - n) & MASK


def permute(a):
    for rc in RC:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ rol(c[(x + 1) % 5], 1) for x in range(5)]
        a = [a[i] ^ d[i % 5] for i in range(25)]
        b, x, y, lane = a[:], 1, 0, a[1]
        for t in range(24):  # rho and pi
            x, y = y, (2 * x + 3 * y) % 5
            lane, b[x + 5 * y] = a[x + 5 * y], rol(lane, (t + 1) * (t + 2) // 2)
        a = [b[i] ^ ~b[i // 5 * 5 + (i + 1) % 5] & b[i // 5 * 5 + (i + 2) % 5] & MASK for i in range(25)]
        a[0] ^= rc
    return a


def keccak(data):
    rate, a = 136, [0] * 25
    pad = rate - len(data) % rate
    data += b"\x81" if pad == 1 else b"\1" + b"\0" * (pad - 2) + b"\x80"
    for i in range(0, len(data), rate):
        for j in range(rate // 8):
            a[j] ^= int.from_bytes(data[i + 8 * j:i + 8 * j + 8], "little")
        a = permute(a)
    return b"".join(v.to_bytes(8, "little") for v in a[:4])


# RLP (Ethereum Yellow Paper, Appendix B), in its one form

def rlp_item(p):
    """The first item of p and what stands behind it."""
    want(p, "RLP ends early")
    head, p = p[0], p[1:]
    if head < 0x80:
        return bytes([head]), p
    short, is_list = (head - 0x80, False) if head < 0xc0 else (head - 0xc0, True)
    if short > 55:
        n, short = short - 55, int.from_bytes(p[:short - 55], "big")
        want(len(p) >= n and p[0] and short > 55, "RLP with a length in a longer form")
        p = p[n:]
    want(len(p) >= short, "RLP ends early")
    body, rest = p[:short], p[short:]
    if not is_list:
        want(short != 1 or body[0] >= 0x80, "RLP of an octet in a longer form")
        return body, rest
    items = []
    while body:
        item, body = rlp_item(body)
        items.append(item)
    return items, rest


def rlp(p):
    item, rest = rlp_item(p)
    want(not rest, "something stands behind the RLP")
    return item


def rlp_uint(octets):
    want(isinstance(octets, bytes) and octets[:1] != b"\0" and len(octets) <= 8, "not an integer of 64 bits")
    return int.from_bytes(octets, "big")


# Merkle-Patricia proofs (Appendix D)

def nibbles(octets):
    return [n for o in octets for n in (o >> 4, o & 15)]


def trie_value(root, key, proof):
    want(isinstance(proof, list) and 0 < len(proof) <= 65, "a proof of no nodes, or of too many")
    path, ref = nibbles(key), root
    for place, text in enumerate(proof):
        raw = unhex0x(text)
        want(len(raw) <= 1 << 16 and keccak(raw) == ref, "node %d of a proof is not the one its parent names" % place)
        node, value = rlp(raw), None
        while isinstance(node, list) and value is None:  # a node of less than 32 octets stands in its parent
            if len(node) == 17:
                if path:
                    node, path = node[path[0]], path[1:]
                else:
                    value = node[16]
                continue
            want(len(node) == 2 and isinstance(node[0], bytes) and node[0] and node[0][0] >> 4 < 4, "not a node of a trie")
            part = nibbles(node[0])
            leaf, part = part[0] & 2, part[1 if part[0] & 1 else 2:]
            want(path[:len(part)] == part, "the proof is of another key")
            path = path[len(part):]
            if leaf:
                want(not path, "the proof is of another key")
                value = node[1]
            else:
                node = node[1]
        if value is not None:
            want(isinstance(value, bytes) and value and place == len(proof) - 1, "a proof of absence, or with nodes too many")
            return value
        want(len(node) == 32, "the proof is of another key")
        ref = node
    raise Refused("a proof ends early")


def uint_key(n):
    want(isinstance(n, str) and re.fullmatch("0|[1-9][0-9]{0,18}", n), "not a number: %r" % (n,))
    n = int(n)
    octets = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return octets if n and n < 0x80 else bytes([0x80 + len(octets)]) + octets


def word(octets, most):
    n = int.from_bytes(octets, "big")
    want(n < 1 << most, "a number that no contract of ours emits")
    return n


def anchored(e, receipts_root):
    """The event of the checkpoint: (root, seq)."""
    r = e["receipt"]
    value = trie_value(receipts_root, uint_key(r["transaction_index"]), r["proof"])
    fields = rlp(value[1:] if value[0] < 0x80 else value)
    want(len(fields) >= 4 and fields[0] == b"\1", "the transaction was reverted")
    address, topics, data = fields[3][int(r["log_index"])]
    event = keccak(b"Anchored(bytes32,uint64,bytes32,uint32,uint64)")
    want(address == unhex0x(e["contract"], 20) and len(topics) == 3 and topics[:2] == [event, unhex0x(e["id"], 32)] and len(data) == 96, "the log is not an Anchored event of this log")
    size, seq, prev = word(topics[2], 64), word(data[32:64], 32), word(data[64:], 64)
    want(prev < size == int(e["size"]), "an event of size %d" % size)
    return data[:32], seq


def verify_state(e, state_root, size, root, seq):
    s = e["state"]
    account = rlp(trie_value(state_root, keccak(unhex0x(e["contract"], 20)), s["account_proof"]))
    want(len(account) == 4 and account[3].hex() in CODE, "the code of the contract is not that of a release")
    head = keccak(unhex0x(e["id"], 32) + b"\0" * 32)
    beside = ((int.from_bytes(head, "big") + 1) % (1 << 256)).to_bytes(32, "big")
    packed, stored = (rlp(trie_value(account[2], keccak(slot), proof)).rjust(32, b"\0") for slot, proof in ((head, s["head_proof"]), (beside, s["root_proof"])))
    has, at = int.from_bytes(packed[4:12], "big"), int.from_bytes(packed[:4], "big")
    want((at, has, stored) == (seq, size, root) or at > seq and has > size, "the contract held size %d as checkpoint %d, the event is of %d as %d" % (has, at, size, seq))


def verify(e):
    """Checks every proof of the evidence. What it returns is true if block_hash is known by another way."""
    want(e["format"] == "tidemark-chain-evidence/v1", "format %.40r" % (e["format"],))
    raw = unhex0x(e["header"])
    header = rlp(raw)
    want(len(raw) <= 4096 and isinstance(header, list) and len(header) > 11, "not a header")
    want(re.fullmatch("0|[1-9][0-9]{0,19}", e["size"]) and re.fullmatch("0|[1-9][0-9]{0,19}", e["chain_id"]) and re.fullmatch("0|[1-9][0-9]{0,4}", e["receipt"]["log_index"]), "not a number")
    root, seq = anchored(e, header[5])
    if "state" in e:
        verify_state(e, header[3], int(e["size"]), root, seq)
    return {"chain_id": int(e["chain_id"]), "contract": unhex0x(e["contract"], 20), "id": unhex0x(e["id"], 32), "transaction": unhex0x(e["transaction"], 32),
            "size": int(e["size"]), "root": root, "block": rlp_uint(header[8]), "block_hash": keccak(raw), "block_time": rlp_uint(header[11])}
