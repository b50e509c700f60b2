#!/usr/bin/env python3
"""A second verifier of Tidemark bundles and evidence, written from docs/formats
with the standard library alone: it shares no code with the first.

    verify_bundle.py FILE trust.json [--block-hash HASH]... [--witness KEY]...

FILE is what `tidemark prove` or `tidemark evidence` wrote. Nothing is asked of
anybody. --block-hash is the hash of a block known to be final by another way: the
proofs in evidence lead there (chain_evidence.py). --witness is the key of a witness
beside those that the trust file names.

Exit codes: 0 verified, by blocks that were given; 4 it proves nothing; 6 everything
but the chain is right; 2 wrong use.
"""
import argparse
import base64
import hashlib
import ipaddress
import json
import re
import struct
import sys

import chain_evidence
from chain_evidence import Refused, unhex, want

PRESENCE = ("octets packets start end tcp_flags direction tos end_reason "
            "src_mac dst_mac vlan_in vlan_out in_if out_if as events").split()
QUALITY = ("sampling_assumed time_clamped late_template replayed as_exported extension_cut biflow_reverse "
           "sampling_from_option sampling_from_config bit_9 bit_10 bit_11 bit_12 bit_13 bit_14 bit_15").split()
FLAGS = "salted empty restart clock-step events".split()
PROTOCOLS = {"netflow_v1": 1, "netflow_v5": 5, "netflow_v7": 7, "netflow_v9": 9, "ipfix": 10, "sflow_v5": 12}
TRANSPORTS = {"udp": 0, "tcp": 1, "tls": 2, "dtls": 3, "file": 4}


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Values as the file spells them

def unbase64(text):
    value = base64.b64decode(text, validate=True)
    want(base64.b64encode(value).decode() == text, "base64 is not in its one form")
    return value


def number(value, bits):
    want(type(value) is int and 0 <= value < 1 << bits, "not a number of %d bits: %r" % (bits, value))
    return value


def decimal(text):
    want(isinstance(text, str) and re.fullmatch("0|[1-9][0-9]*", text), "not a decimal string: %r" % (text,))
    return number(int(text), 64)


def nanoseconds(text):
    m = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{0,8}[1-9]))?Z", text)
    want(m, "not a time: %r" % (text,))
    year, month, day, hour, minute, second = map(int, m.groups()[:6])
    want(1 <= month <= 12 and 1 <= day <= [31, 28 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
         and hour < 24 and minute < 60 and second < 60, "no such time: %r" % (text,))
    y = year - (month <= 2)  # days from the civil calendar: Howard Hinnant's days_from_civil
    era, yoe = y // 400, y % 400
    doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719468
    ns = ((days * 24 + hour) * 60 + minute) * 60 + second
    ns = ns * 10**9 + int(((m.group(7) or "") + "0" * 9)[:9])
    want(-1 << 63 <= ns < 1 << 63, "time out of range: %r" % (text,))
    return ns & (1 << 64) - 1


def address(text):
    a = ipaddress.ip_address(text)
    return a.packed if a.version == 6 else b"\0" * 10 + b"\xff\xff" + a.packed


def mac(text):
    want(re.fullmatch("[0-9a-f]{2}(:[0-9a-f]{2}){5}", text), "not a MAC: %r" % (text,))
    return bytes.fromhex(text.replace(":", ""))


def bits(names, known):
    places = [known.index(n) for n in names]
    want(places == sorted(set(places)), "names of bits out of order: %r" % (names,))
    return sum(1 << p for p in places)


def once(pairs):
    out = dict(pairs)
    want(len(out) == len(pairs), "a field stands twice")
    return out


# Encodings of docs/formats/ledger.md

def encode_row(r):
    values, last = [], -1
    for e in r["extensions"]:
        pen, ident = number(e["pen"], 32), number(e["id"], 16)
        want(pen << 16 | ident > last and e["values"], "extensions out of order or without value")
        last = pen << 16 | ident
        for text in e["values"]:
            v = unhex(text)
            want(len(v) < 1 << 15, "extension too long")
            head = struct.pack(">HH", ident, len(v)) if pen == 0 else struct.pack(">HHI", ident, len(v) | 0x8000, pen)
            values.append(head + v + b"\0" * (-len(v) % 4))
    out = bytes([0, 1, 1, PROTOCOLS[r["type"]] << 3 | TRANSPORTS[r["transport"]]]) + struct.pack(">HH", 1, len(values))
    for t in ("time_received", "time_flow_start", "time_flow_end"):
        out += struct.pack(">Q", nanoseconds(r[t]))
    out += address(r["sampler_address"]) + struct.pack(">II", number(r["observation_domain_id"], 32), number(r["sequence_num"], 32))
    out += address(r["src_addr"]) + address(r["dst_addr"])
    out += struct.pack(">HHBBH", number(r["src_port"], 16), number(r["dst_port"], 16), number(r["proto"], 8),
                       number(r["flow_direction"], 8), number(r["tcp_flags"], 16))
    out += struct.pack(">QQI", decimal(r["bytes"]), decimal(r["packets"]), number(r["sampling_rate"], 32))
    out += mac(r["src_mac"]) + mac(r["dst_mac"])
    out += struct.pack(">HHII", number(r["src_vlan"], 16), number(r["dst_vlan"], 16), number(r["in_if"], 32), number(r["out_if"], 32))
    out += struct.pack(">HBBBBH", bits(r["presence"], PRESENCE), number(r["ip_tos"], 8), number(r["flow_end_reason"], 8),
                       number(r["firewall_event"], 8), number(r["nat_event"], 8), bits(r["quality"], QUALITY))
    out += struct.pack(">II", number(r["src_as"], 32), number(r["dst_as"], 32))
    assert len(out) == 156
    return out + b"".join(values)


def show_row(row):
    """What flow a row is, in a line."""
    want(len(row) >= 156 and row[:3] == b"\0\1\1" and row[4:6] == b"\0\1", "not a row")
    names = {v: k for k, v in PROTOCOLS.items()}
    at = lambda o: str(ipaddress.IPv6Address(row[o:o + 16]).ipv4_mapped or ipaddress.IPv6Address(row[o:o + 16]))
    ports, (octets, packets) = struct.unpack(">HH", row[88:92]), struct.unpack(">QQ", row[96:112])
    return "%s port %d -> %s port %d, IP protocol %d, %d octets and %d packets as %s exported them by %s" % (
        at(56), ports[0], at(72), ports[1], row[92], octets, packets, at(32), names.get(row[3] >> 3, "protocol %d" % (row[3] >> 3)))


def encode_header(h):
    out = bytes([2, 1]) + struct.pack(">HI", number(h["schema"], 16), bits(h["flags"], FLAGS)) + unhex(h["log_id"], 32)
    for n in ("batch_index", "first_seq", "rows"):
        out += struct.pack(">Q", decimal(h[n]))
    for n in ("min_received", "max_received", "sealed"):
        out += struct.pack(">Q", nanoseconds(h[n]))
    out += struct.pack(">Q", decimal(h["eth_block_number"]))
    for n in ("eth_block_hash", "row_root", "exporter_table_hash", "prev_header_leaf", "schema_hash"):
        out += unhex(h[n], 32)
    assert len(out) == 256
    return out


HEADER = struct.Struct(">BBHI32sQQQqqqQ32s32s32s32s32s")
SCHEMA = "9f37422ae5559a8c8898d7cdc49da440cecc3ef974fad4992faafb97c943abf9"  # of anchor/schema_v1.txt


class Header:
    def __init__(self, octets):
        (kind, version, schema, self.flags, self.log_id, self.index, _, self.rows, self.first, self.last, self.sealed,
         _, _, self.root, self.table, _, schema_hash) = HEADER.unpack(octets)
        want((kind, version, schema) == (2, 1, 1) and schema_hash.hex() == SCHEMA, "a header of another schema")
        self.leaf, self.events = sha(b"\0", octets), bool(self.flags & 16)

    def covers(self, received, what):
        want(self.first <= received <= self.last, "%s is not of the time of batch %d" % (what, self.index))

    def not_after(self, seconds, what):
        want(self.sealed <= (seconds + 900) * 10**9, "batch %d claims to be sealed after %s" % (self.index, what))


# RFC 9162, Sections 2.1.3.2 and 2.1.4.2, as they stand there

def node(left, right):
    return sha(b"\1", left, right)


def climb(index, size, leaf, sibling):
    """The root over leaf index of size, given a function from level to the hash beside it there."""
    want(index < size, "index %d of %d" % (index, size))
    fn, sn, r, level = index, size - 1, leaf, 0
    while sn:
        if fn & 1:
            r = node(sibling(level), r)
        elif fn < sn:
            r = node(r, sibling(level))
        fn, sn, level = fn >> 1, sn >> 1, level + 1
    return r


def levels(index, size):
    """The levels at which the inclusion proof of index has a hash."""
    return [n for n in range((size - 1).bit_length()) if index >> n & 1 or index >> n < size - 1 >> n]


def inclusion(index, size, leaf, path, root):
    want(index < size and len(path) == len(levels(index, size)), "index %d of %d, %d hashes" % (index, size, len(path)))
    at = dict(zip(levels(index, size), path))
    got = climb(index, size, leaf, at.get)
    want(got == root, "inclusion proof leads to %s, want %s" % (got.hex(), root.hex()))


def older_root(index, size, leaf, path, older, edge):
    """The root of the first older leaves, from the path in the tree of size and the hash of the incomplete subtree."""
    want(index < older <= size, "%d leaves were anchored, %d signed" % (older, size))
    at, edge = dict(zip(levels(index, size), path)), list(edge)

    def sibling(level):
        whole = index >> level & 1 or older == size or (index >> level) + 2 <= older >> level
        return at[level] if whole else edge.pop()

    want(len(edge) <= 1, "more than one hash of the border")
    root = climb(index, older, leaf, sibling)
    want(not edge, "a hash of the border too many")
    return root


def consistency(first, second, path, root1, root2):
    if first == second:
        want(not path and root1 == root2, "two roots of one size")
        return
    want(0 < first < second and 0 < len(path) <= 64, "sizes %d and %d, %d hashes" % (first, second, len(path)))
    if first & first - 1 == 0:
        path = [root1] + path
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        want(sn != 0, "consistency proof too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    want(sn == 0 and fr == root1 and sr == root2, "the signed log does not continue the anchored one")


# Ed25519, RFC 8032, Section 5.1.7

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def point(s):
    y = int.from_bytes(s, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    want(y < P, "not a point of the curve")
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    want((x * x - xx) % P == 0 and not (x == 0 and sign), "not a point of the curve")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def ed25519(key, message, signature):
    want(len(key) == 32 and len(signature) == 64, "signature or key of a wrong length")
    s = int.from_bytes(signature[32:], "little")
    want(s < L, "signature is not in its one form")
    base_y = 4 * pow(5, P - 2, P) % P
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = times(s, point(base_y.to_bytes(32, "little"))), add(point(signature[:32]), times(k, point(key)))
    want((left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0,
         "the signature of the checkpoint is wrong")


def verifier_key(text, algorithm):
    m = re.fullmatch(r"([!-*,-~]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
    want(m, "not a note verifier key: %r" % (text,))
    raw = unbase64(m.group(3))
    want(len(raw) == 33 and raw[0] == algorithm, "not an Ed25519 key of kind %d" % algorithm)
    ident = sha(m.group(1).encode() + b"\n" + raw)[:4]
    want(ident.hex() == m.group(2), "the hash of the key is wrong: %r" % (text,))
    return m.group(1), raw[1:], ident


def open_log(note, key, trust, extra_witnesses):
    """Checks that the log of the trust file signed the note: size, root and who saw it when."""
    want(trust["format"] == "tidemark-trust/v1", "format of the trust file %r" % (trust["format"],))
    origin, trusted, ident = verifier_key(trust["log_key"], 1)
    want(key == trusted and origin == trust["origin"], "not the log of the trust file")
    want(sha(b"tidemark/v1\n" + origin.encode() + b"\n" + key) == unhex(trust["log_id"], 32), "the log id does not follow from origin and key")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = [re.fullmatch("\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)", l) for l in signatures.splitlines()]
    want(lines and all(lines), "a malformed signature line")
    mine = [unbase64(l.group(2)) for l in lines if l.group(1) == origin]
    want(len(mine) == 1 and mine[0][:4] == ident, "not signed by the log key of %s" % origin)
    ed25519(key, text.encode(), mine[0][4:])
    m = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/=]{44})\n", text)
    want(m and m.group(1) == origin, "not a checkpoint of %s" % origin)
    known = {name: (wkey, wident) for name, wkey, wident in (verifier_key(k, 4) for k in trust.get("witnesses", []) + extra_witnesses)}
    seen = []
    for name, raw in [(l.group(1), unbase64(l.group(2))) for l in lines if l.group(1) != origin]:
        wkey, wident = known.get(name, (None, None))
        if raw[:4] != wident:
            print("witness %s: not verified, its key was not given" % ascii(name))
            continue
        want(len(raw) == 76, "cosignature of another length")
        at = int.from_bytes(raw[4:12], "big")
        ed25519(wkey, b"cosignature/v1\ntime %d\n" % at + text.encode(), raw[12:])
        print("witness %s saw the log at %d seconds since 1970, by its clock" % (name, at))
        seen.append((at, "witness %s saw it" % name))
    return int(m.group(2)), unbase64(m.group(3)), seen


def same_log(a, trust):
    for field in ("contract", "id"):
        want(a[field] == trust["chain"][field], "another %s than the trust file names" % field)
    want(decimal(a["chain_id"]) == trust["chain"]["chain_id"], "another chain than the trust file names")


def parse_log_proof(text):
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    want(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index "), "not a tlog-proof")
    return unbase64(lines[1][6:]), decimal(lines[2][6:]), [unbase64(l) for l in lines[3:]], note


# A bundle: the evidence of one flow

class Octets:
    def __init__(self, octets):
        self.rest = octets

    def take(self, n):
        want(len(self.rest) >= n, "extra ends early")
        taken, self.rest = self.rest[:n], self.rest[n:]
        return taken

    def uint(self, n):
        return int.from_bytes(self.take(n), "big")


def parse_bundle(text):
    """Version 2: all parts of the proof of a flow as a dict."""
    extra, index, path, note = parse_log_proof(text)
    r = Octets(extra)
    b = {"header": r.take(256), "index": index, "log_path": path, "note": note}
    want(r.uint(1) == 2, "another version of bundle")
    b.update(key=r.take(32), pos=r.uint(4), salt=r.take(16), row=r.take(r.uint(4)), row_path=[r.take(32) for _ in range(r.uint(1))], table=r.take(r.uint(4)))
    anchored = r.uint(1)
    want(anchored < 2 and (anchored or not r.rest), "more than a bundle")
    if anchored:
        a = {"chain_id": str(r.uint(8)), "contract": "0x" + r.take(20).hex(), "id": "0x" + r.take(32).hex(), "size": str(r.uint(8)),
             "transaction": "0x" + r.take(32).hex(), "block": str(r.uint(8)), "block_hash": "0x" + r.take(32).hex(), "block_time": r.uint(8)}
        want(len(r.rest) in (0, 32), "more than a bundle")
        b["anchor"], b["edge"] = a, [r.rest] if r.rest else []
    return b


def parse_bundle_v1(f):
    """Version 1, in JSON."""
    want(f["format"] == "tidemark-bundle/v1", "format %r" % (f["format"],))
    extra, index, path, note = parse_log_proof(f["log_proof"])
    header = encode_header(f["header"])
    want(extra == header, "the header spelled out is not that of the tlog-proof")
    name = re.fullmatch("([0-9a-f]{16})-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)", f["flow"])
    want(name and f["header"]["log_id"].startswith(name.group(1)) and int(name.group(2)) == index, "the flow is not of this batch")
    b = {"header": header, "index": index, "log_path": path, "note": note, "key": verifier_key(f["log_key"], 1)[1], "pos": int(name.group(3)),
         "salt": unhex(f["salt"], 16), "row": encode_row(f["row"]), "row_path": [unbase64(p) for p in f["row_proof"]], "table": unbase64(f.get("exporter_table", ""))}
    if "anchor" in f:
        b["anchor"] = dict(f["anchor"], block_time=nanoseconds(f["anchor"]["block_time"]) // 10**9)
    return b


def verify(b, trust, witnesses):
    h = Header(b["header"])
    want(h.index == b["index"] and not h.events, "the header is of another batch, or of events")
    inclusion(b["pos"], h.rows, sha(b["row"], b["salt"]), b["row_path"], h.root)
    shown = show_row(b["row"])
    h.covers(struct.unpack(">q", b["row"][8:16])[0], "the row")
    want(not b["table"] or sha(b"\0", b["table"]) == h.table, "another exporter table")
    size, root, seen = open_log(b["note"], b["key"], trust, witnesses)
    want(h.log_id == unhex(trust["log_id"], 32), "a header of another log")
    inclusion(h.index, size, h.leaf, b["log_path"], root)
    for at, what in seen:
        h.not_after(at, what)
    a = b.get("anchor")
    if a is not None:
        verify_bundle_anchor(b, a, h, size, root, trust)
    print("flow %s-%d-%d: %s" % (h.log_id.hex()[:16], h.index, b["pos"], shown))
    print("INCOMPLETE: the bundle names no anchor" if a is None else
          "INCOMPLETE: ask chain %s whether contract %s, in block %s (%s) by transaction %s,\n"
          "anchored size %s with root 0x%s for %s" % (a["chain_id"], a["contract"], a["block"], a["block_hash"], a["transaction"], a["size"], a["root"], a["id"]))


def verify_bundle_anchor(b, a, h, size, root, trust):
    same_log(a, trust)
    anchored = decimal(a["size"])
    want(h.index < anchored, "the batch was not anchored")
    if "edge" in b:
        a["root"] = older_root(h.index, size, h.leaf, b["log_path"], anchored, b["edge"]).hex()
    else:
        consistency(anchored, size, [unbase64(p) for p in a["consistency_proof"]], unhex(a["root"], 32), root)
    h.not_after(a["block_time"], "the block that anchored it")


# Evidence of many leaves: one proof for all, docs/formats/bundle.md

def split(n):
    return 1 << (n - 1).bit_length() - 1


def multi_root(indices, leaves, size, proof):
    """The root over size leaves of which those at indices are known; the rest hash to proof, from left to right."""
    want(indices == sorted(set(indices)) and len(leaves) == len(indices) and (not indices or indices[-1] < size) and size > 0, "indices out of order")
    proof = list(proof)

    def root(low, high, begin, end):
        if low == high:
            want(proof, "the proof is too short")
            return proof.pop(0)
        if end - begin == 1:
            return leaves[low]
        middle = begin + split(end - begin)
        cut = low
        while cut < high and indices[cut] < middle:
            cut += 1
        left = root(low, cut, begin, middle)
        return node(left, root(cut, high, middle, end))

    got = root(0, len(indices), 0, size)
    want(not proof, "the proof is too long")
    return got


def encode_event(text):
    body = text.encode()
    event = json.loads(text, object_pairs_hook=once)
    want(all(isinstance(event.get(n), str) and event[n] for n in ("kind", "actor", "time")), "an event without kind, actor or time")
    return b"\0\5\1\0" + struct.pack(">I", len(body)) + body, nanoseconds(re.sub(r"\.?0+Z$", "Z", event["time"]))


def verify_batch(b):
    h, indices, leaves = Header(encode_header(b["header"])), [], []
    flows, events = b.get("flows", []), b.get("events", [])
    want(bool(events) == h.events and bool(flows) != bool(events), "leaves of the wrong kind")
    for leaf in flows or events:
        if flows:
            encoded, at = encode_row(leaf["row"]), nanoseconds(leaf["row"]["time_received"])
        else:
            encoded, at = encode_event(leaf["body"])
        h.covers(at - (1 << 64) if at >> 63 else at, "leaf %s" % leaf["pos"])
        indices.append(number(leaf["pos"], 32))
        leaves.append(sha(encoded, unhex(leaf["salt"], 16)))
    root = multi_root(indices, leaves, h.rows, [unbase64(p) for p in b["proof"]])
    want(root == h.root, "batch %d: its leaves are not the ones that were sealed" % h.index)
    return h, len(leaves)


def verify_anchor(a, trust):
    """Checks the chain evidence of an anchor: whether there is any."""
    if "chain_evidence" not in a:
        return False
    proven = chain_evidence.verify(a["chain_evidence"])
    claimed = {"chain_id": decimal(a["chain_id"]), "contract": unhex(a["contract"][2:], 20), "id": unhex(a["id"][2:], 32), "size": decimal(a["size"]),
               "transaction": unhex(a["transaction"][2:], 32), "root": unhex(a["root"], 32), "block": decimal(a["block"]),
               "block_hash": unhex(a["block_hash"][2:], 32), "block_time": nanoseconds(a["block_time"]) // 10**9}
    for field, value in claimed.items():
        want(proven[field] == value, "anchor of size %s: its chain evidence has another %s" % (a["size"], field))
    return True


def verify_evidence(e, trust, witnesses, blocks):
    """Returns the batches that no block of blocks proves."""
    size, root, seen = open_log(e["checkpoint"], verifier_key(e["log_key"], 1)[1], trust, witnesses)
    want(e["log_key"] == trust["log_key"], "not the log of the trust file")
    batches = [verify_batch(b) for b in e["batches"]]
    headers, count = [h for h, _ in batches], sum(n for _, n in batches)
    want(count > 0, "no flow and no event")
    for h in headers:
        want(h.log_id == unhex(trust["log_id"], 32), "a header of another log")
        for at, what in seen:
            h.not_after(at, what)
    want(multi_root([h.index for h in headers], [h.leaf for h in headers], size, [unbase64(p) for p in e["log_proof"]]) == root, "the headers are not in the signed log")
    print("%d flows and events of %d batches are as they were sealed in the log of %s" % (count, len(headers), trust["origin"]))
    last, left = 0, headers
    for a in e["anchors"]:
        same_log(a, trust)
        anchored = decimal(a["size"])
        want(last < anchored <= size, "anchors out of order")
        consistency(anchored, size, [unbase64(p) for p in a["consistency_proof"]], unhex(a["root"], 32), root)
        last = anchored
        if verify_anchor(a, trust) and unhex(a["block_hash"][2:], 32) in blocks:
            for h in left:
                if h.index < anchored:
                    h.not_after(nanoseconds(a["block_time"]) // 10**9, "the block that anchored it")
            print("the first %d batches were recorded before block %s (%s)" % (anchored, a["block"], a["block_time"]))
            left = [h for h in left if h.index >= anchored]
        else:
            print("not proven here: ask chain %s whether contract %s, in block %s (%s), anchored size %s with root 0x%s for %s"
                  % (a["chain_id"], a["contract"], a["block"], a["block_hash"], a["size"], a["root"], a["id"]))
    return [h.index for h in left]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("file")
    p.add_argument("trust")
    p.add_argument("--block-hash", action="append", default=[])
    p.add_argument("--witness", action="append", default=[])
    o = p.parse_args()
    if not all(re.fullmatch("(?:0x)?[0-9a-fA-F]{64}", h) for h in o.block_hash):
        p.error("--block-hash: want 64 hexadecimal digits")
    blocks = [bytes.fromhex(h[-64:]) for h in o.block_hash]
    try:
        trust = json.load(open(o.trust, encoding="utf-8"), object_pairs_hook=once)
        text = open(o.file, encoding="utf-8", newline="").read()
        left = [None]
        if not text.lstrip().startswith("{"):
            verify(parse_bundle(text), trust, o.witness)
        else:
            f = json.loads(text, object_pairs_hook=once)
            if f["format"] == "tidemark-evidence/v1":
                left = verify_evidence(f, trust, o.witness, blocks)
            else:
                verify(parse_bundle_v1(f), trust, o.witness)
    except (Refused, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, struct.error) as e:
        print("FAILED: this proves nothing: %s: %s" % (type(e).__name__, e))
        return 4
    if left:
        print("INCOMPLETE: it is in the signed log of %s; that a final block protects it is not proven" % trust["origin"])
        return 6
    print("VERIFIED: all of it is as it was sealed, and the blocks that were given say so")
    return 0


if __name__ == "__main__":
    sys.exit(main())
