#!/usr/bin/env python3
"""A second verifier of Tidemark bundles, written from docs/formats/bundle.md
with the standard library alone: it shares no code with the first.

    verify_bundle.py bundle.json trust.json
    verify_bundle.py evidence.json trust.json

It checks everything that needs no chain and prints the (size, root) that the
contract must have anchored. Exit codes: 4 it proves nothing; 6 everything but
the chain is right; 2 wrong use.
"""
import base64
import hashlib
import ipaddress
import json
import re
import struct
import sys

PRESENCE = ("octets packets start end tcp_flags direction tos end_reason "
            "src_mac dst_mac vlan_in vlan_out in_if out_if as events").split()
QUALITY = ("sampling_assumed time_clamped late_template replayed as_exported extension_cut biflow_reverse "
           "sampling_from_option sampling_from_config bit_9 bit_10 bit_11 bit_12 bit_13 bit_14 bit_15").split()
FLAGS = "salted empty restart clock-step events".split()
PROTOCOLS = {"netflow_v1": 1, "netflow_v5": 5, "netflow_v7": 7, "netflow_v9": 9, "ipfix": 10, "sflow_v5": 12}
TRANSPORTS = {"udp": 0, "tcp": 1, "tls": 2, "dtls": 3, "file": 4}


class Refused(Exception):
    pass


def want(condition, text):
    if not condition:
        raise Refused(text)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Values as the file spells them

def unhex(text, octets=None):
    want(isinstance(text, str) and re.fullmatch("(?:[0-9a-f]{2})*", text), "not lower-case hexadecimal: %r" % (text,))
    value = bytes.fromhex(text)
    want(octets is None or len(value) == octets, "%d octets, want %s" % (len(value), octets))
    return value


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


# RFC 9162, Sections 2.1.3.2 and 2.1.4.2, as they stand there

def node(left, right):
    return sha(b"\1", left, right)


def inclusion(index, size, leaf, path, root):
    want(index < size and len(path) <= 64, "index %d of %d, %d hashes" % (index, size, len(path)))
    fn, sn, r = index, size - 1, leaf
    for p in path:
        want(sn != 0, "inclusion proof too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    want(sn == 0 and r == root, "inclusion proof leads to %s, want %s" % (r.hex(), root.hex()))


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


def log_key(text):
    m = re.fullmatch(r"([!-*,-~]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
    want(m, "not a note verifier key: %r" % (text,))
    raw = unbase64(m.group(3))
    want(len(raw) == 33 and raw[0] == 1, "not an Ed25519 key")
    ident = sha(m.group(1).encode() + b"\n" + raw)[:4]
    want(ident.hex() == m.group(2), "the hash of the log key is wrong")
    return m.group(1), raw[1:], ident


def open_checkpoint(note, origin, key, ident):
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    mine = [l for l in lines.splitlines() if l.startswith("\u2014 " + origin + " ")]
    want(len(mine) == 1, "not signed by %s" % origin)
    raw = unbase64(mine[0].split(" ")[2])
    want(raw[:4] == ident, "signed by another key")
    ed25519(key, text.encode(), raw[4:])
    m = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([A-Za-z0-9+/=]{44})\n", text)
    want(m and m.group(1) == origin, "not a checkpoint of %s" % origin)
    return int(m.group(2)), unbase64(m.group(3))


def parse_log_proof(text):
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    want(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("extra ") and lines[2].startswith("index "), "not a tlog-proof")
    return unbase64(lines[1][6:]), decimal(lines[2][6:]), [unbase64(l) for l in lines[3:]], note


def verify(bundle, trust):
    want(bundle["format"] == "tidemark-bundle/v1", "format %r" % (bundle["format"],))
    want(trust["format"] == "tidemark-trust/v1", "format of the trust file %r" % (trust["format"],))
    h = bundle["header"]
    header, index = encode_header(h), decimal(h["batch_index"])
    extra, at, log_path, note = parse_log_proof(bundle["log_proof"])
    want(extra == header and at == index, "the header spelled out is not that of the tlog-proof")

    name = re.fullmatch("([0-9a-f]{16})-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)", bundle["flow"])
    want(name and h["log_id"].startswith(name.group(1)) and int(name.group(2)) == index, "the flow is not of this batch")
    want("events" not in h["flags"], "a batch of events")
    row = encode_row(bundle["row"])
    leaf = sha(row, unhex(bundle["salt"], 16))
    inclusion(int(name.group(3)), decimal(h["rows"]), leaf, [unbase64(p) for p in bundle["row_proof"]], unhex(h["row_root"]))
    signed = lambda x: x - (1 << 64) if x >> 63 else x
    received = signed(nanoseconds(bundle["row"]["time_received"]))
    want(signed(nanoseconds(h["min_received"])) <= received <= signed(nanoseconds(h["max_received"])), "received outside the batch")
    if "exporter_table" in bundle:
        want(sha(b"\0", unbase64(bundle["exporter_table"])) == unhex(h["exporter_table_hash"]), "another exporter table")

    origin, key, ident = log_key(bundle["log_key"])
    want(bundle["log_key"] == trust["log_key"] and origin == trust["origin"], "not the log of the trust file")
    log_id = sha(b"tidemark/v1\n" + origin.encode() + b"\n" + key)
    want(log_id == unhex(h["log_id"], 32) == unhex(trust["log_id"], 32), "the log id does not follow from origin and key")
    size, root = open_checkpoint(note, origin, key, ident)
    inclusion(index, size, sha(b"\0", header), log_path, root)

    a = bundle.get("anchor")
    if a is None:
        return None
    for field in ("contract", "id"):
        want(a[field] == trust["chain"][field], "another %s than the trust file names" % field)
    want(decimal(a["chain_id"]) == trust["chain"]["chain_id"], "another chain than the trust file names")
    anchored = decimal(a["size"])
    want(index < anchored, "the batch was not anchored")
    consistency(anchored, size, [unbase64(p) for p in a["consistency_proof"]], unhex(a["root"], 32), root)
    return a


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
    h, indices, leaves = b["header"], [], []
    signed = lambda x: x - (1 << 64) if x >> 63 else x
    flows, events = b.get("flows", []), b.get("events", [])
    want(bool(events) == ("events" in h["flags"]) and bool(flows) != bool(events), "leaves of the wrong kind")
    for leaf in flows or events:
        if flows:
            encoded, at = encode_row(leaf["row"]), nanoseconds(leaf["row"]["time_received"])
        else:
            encoded, at = encode_event(leaf["body"])
        want(signed(nanoseconds(h["min_received"])) <= signed(at) <= signed(nanoseconds(h["max_received"])), "leaf %s is not of the batch's time" % leaf["pos"])
        indices.append(number(leaf["pos"], 32))
        leaves.append(sha(encoded, unhex(leaf["salt"], 16)))
    root = multi_root(indices, leaves, decimal(h["rows"]), [unbase64(p) for p in b["proof"]])
    want(root == unhex(h["row_root"], 32), "batch %s: its leaves are not the ones that were sealed" % h["batch_index"])
    return len(leaves)


def verify_evidence(e, trust):
    want(trust["format"] == "tidemark-trust/v1", "format of the trust file %r" % (trust["format"],))
    origin, key, ident = log_key(e["log_key"])
    want(e["log_key"] == trust["log_key"] and origin == trust["origin"], "not the log of the trust file")
    log_id = sha(b"tidemark/v1\n" + origin.encode() + b"\n" + key)
    want(log_id == unhex(trust["log_id"], 32), "the log id does not follow from origin and key")
    size, root = open_checkpoint(e["checkpoint"], origin, key, ident)
    count, indices, headers = 0, [], []
    for b in e["batches"]:
        count += verify_batch(b)
        want(unhex(b["header"]["log_id"], 32) == log_id, "a header of another log")
        indices.append(decimal(b["header"]["batch_index"]))
        headers.append(sha(b"\0", encode_header(b["header"])))
    want(count > 0, "no flow and no event")
    want(multi_root(indices, headers, size, [unbase64(p) for p in e["log_proof"]]) == root, "the headers are not in the signed log")
    last = 0
    for a in e["anchors"]:
        for field in ("contract", "id"):
            want(a[field] == trust["chain"][field], "another %s than the trust file names" % field)
        want(decimal(a["chain_id"]) == trust["chain"]["chain_id"], "another chain than the trust file names")
        anchored = decimal(a["size"])
        want(last < anchored <= size, "anchors out of order")
        consistency(anchored, size, [unbase64(p) for p in a["consistency_proof"]], unhex(a["root"], 32), root)
        last = anchored
    return count, indices


def report_evidence(e, trust):
    count, indices = verify_evidence(e, trust)
    print("%d flows and events of %d batches are as they were sealed in the log of %s" % (count, len(indices), trust["origin"]))
    for a in e["anchors"]:
        print("INCOMPLETE: ask chain %s whether contract %s, in block %s (%s), anchored size %s with root 0x%s for %s"
              % (a["chain_id"], a["contract"], a["block"], a["block_hash"], a["size"], a["root"], a["id"]))
    if not e["anchors"] or max(indices) >= decimal(e["anchors"][-1]["size"]):
        print("INCOMPLETE: the evidence names no anchor of batch %d" % max(indices))


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        bundle, trust = (json.load(open(path, encoding="utf-8"), object_pairs_hook=once) for path in sys.argv[1:])
        if bundle["format"] == "tidemark-evidence/v1":
            report_evidence(bundle, trust)
            return 6
        a = verify(bundle, trust)
    except (Refused, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as e:
        print("FAILED: this bundle proves nothing: %s: %s" % (type(e).__name__, e))
        return 4
    print("flow %s is as it was sealed at %s in the log of %s" % (bundle["flow"], bundle["header"]["sealed"], trust["origin"]))
    if a is None:
        print("INCOMPLETE: the bundle names no anchor")
    else:
        print("INCOMPLETE: ask chain %s whether contract %s, in block %s (%s) by transaction %s,\n"
              "anchored size %s with root 0x%s for %s" % (a["chain_id"], a["contract"], a["block"], a["block_hash"], a["transaction"], a["size"], a["root"], a["id"]))
    return 6


if __name__ == "__main__":
    sys.exit(main())
