// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TidemarkLog} from "../src/TidemarkLog.sol";
import {Merkle} from "./Merkle.sol";

interface Vm {
    function prank(address) external;
    function warp(uint256) external;
    function chainId(uint256) external;
    function addr(uint256 key) external returns (address);
    function sign(uint256 key, bytes32 digest) external returns (uint8, bytes32, bytes32);
    function expectRevert(bytes calldata) external;
    function expectEmit(bool, bool, bool, bool) external;
    function assume(bool) external pure;
}

contract TidemarkLogTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 private constant KEY = 0xA11CE;
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    bytes32 private constant LOG_ID = keccak256("log");

    TidemarkLog private c;
    address private publisher;
    address private rotator = address(0xC01D);
    address private thief = address(0xBAD);
    bytes32 private id;

    function setUp() public {
        c = new TidemarkLog();
        publisher = vm.addr(KEY);
        id = c.open(LOG_ID, publisher, rotator);
    }

    function anchorAs(address sender, bytes32[] memory d, uint256 from, uint256 to) private {
        bytes32[] memory proof = from == 0 ? new bytes32[](0) : Merkle.proof(from, d, 0, to);
        bytes32 root = Merkle.root(d, 0, to);
        vm.prank(sender);
        c.anchor(id, uint64(to), root, proof);
    }

    // Opening

    function test_OpenNamesPublisherAndRotator() public view {
        TidemarkLog.Log memory l = c.getLog(id);
        require(l.publisher == publisher && l.rotator == rotator && l.size == 0 && l.seq == 0 && l.root == 0);
    }

    function testFuzz_WhoeverOpensTheOutcomeIsTheSame(address sender, bytes32 logId, address p, address r) public {
        vm.assume(p != address(0) && logId != LOG_ID);
        vm.prank(sender);
        bytes32 got = c.open(logId, p, r);
        require(got == c.idOf(logId, p, r));
        TidemarkLog.Log memory l = c.getLog(got);
        require(l.publisher == p && l.rotator == r && l.size == 0);
    }

    function testFuzz_AnotherPublisherOrRotatorIsAnotherLog(address p, address r) public {
        vm.assume(p != address(0) && (p != publisher || r != rotator));
        require(c.open(LOG_ID, p, r) != id);
        require(c.getLog(id).publisher == publisher && c.getLog(id).rotator == rotator);
    }

    function test_OpenTwiceReverts() public {
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.AlreadyOpen.selector, id));
        c.open(LOG_ID, publisher, rotator);
    }

    function test_OpenWithoutPublisherReverts() public {
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.PublisherIsZero.selector));
        c.open(LOG_ID, address(0), rotator);
    }

    // Anchoring

    function test_EveryPairUpTo24Anchors() public view {
        bytes32[] memory d = Merkle.leaves(24, "pairs");
        for (uint256 m = 1; m < 24; m++) {
            for (uint256 n = m + 1; n <= 24; n++) {
                require(
                    c.consistencyHolds(
                        uint64(m), Merkle.root(d, 0, m), uint64(n), Merkle.root(d, 0, n), Merkle.proof(m, d, 0, n)
                    )
                );
            }
        }
    }

    function testFuzz_AnchorEmitsAndStores(uint8 first, uint8 growth, bytes32 seed) public {
        uint256 m = uint256(first) % 100 + 1;
        uint256 n = m + uint256(growth) % 100 + 1;
        bytes32[] memory d = Merkle.leaves(n, seed);
        anchorAs(publisher, d, 0, m);
        bytes32[] memory proof = Merkle.proof(m, d, 0, n);
        bytes32 root = Merkle.root(d, 0, n);
        vm.expectEmit(true, true, true, true);
        emit TidemarkLog.Anchored(id, uint64(n), root, 2, uint64(m));
        vm.prank(publisher);
        c.anchor(id, uint64(n), root, proof);
        TidemarkLog.Log memory l = c.getLog(id);
        require(l.size == n && l.seq == 2 && l.root == root && l.publisher == publisher);
    }

    function testFuzz_RewrittenLeafIsRefused(uint8 first, uint8 growth, uint8 edited) public {
        uint256 m = uint256(first) % 60 + 1;
        uint256 n = m + uint256(growth) % 60 + 1;
        bytes32[] memory d = Merkle.leaves(n, "honest");
        anchorAs(publisher, d, 0, m);
        d[uint256(edited) % m] = Merkle.leafHash("rewritten");
        bytes32[] memory proof = Merkle.proof(m, d, 0, n);
        bytes32 root = Merkle.root(d, 0, n);
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.InconsistentCheckpoint.selector, id, uint64(m), uint64(n)));
        vm.prank(publisher);
        c.anchor(id, uint64(n), root, proof);
    }

    function testFuzz_OneFlippedBitIsRefused(uint8 first, uint8 growth, uint8 which, uint8 bit) public view {
        uint256 m = uint256(first) % 60 + 1;
        uint256 n = m + uint256(growth) % 60 + 1;
        bytes32[] memory d = Merkle.leaves(n, "bits");
        bytes32[] memory proof = Merkle.proof(m, d, 0, n);
        uint256 i = uint256(which) % proof.length;
        proof[i] = bytes32(uint256(proof[i]) ^ (1 << bit));
        require(!c.consistencyHolds(uint64(m), Merkle.root(d, 0, m), uint64(n), Merkle.root(d, 0, n), proof));
    }

    function testFuzz_GarbageProofIsRefused(uint64 m, uint64 n, bytes32 r1, bytes32 r2, bytes32[] calldata proof)
        public
        view
    {
        require(!c.consistencyHolds(m, r1, n, r2, proof));
    }

    function testFuzz_SizeMustGrow(uint64 current, uint64 size) public {
        vm.assume(current > 0 && size <= current);
        vm.prank(publisher);
        c.anchor(id, current, "root", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.SizeNotGrowing.selector, id, current, size));
        vm.prank(publisher);
        c.anchor(id, size, "root", new bytes32[](0));
    }

    function test_FirstCheckpointTakesNoProof() public {
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.InconsistentCheckpoint.selector, id, 0, 5));
        vm.prank(publisher);
        c.anchor(id, 5, "root", new bytes32[](1));
    }

    function test_LargestSizeIsTheEndOfALog() public {
        vm.prank(publisher);
        c.anchor(id, type(uint64).max, "root", new bytes32[](0));
        vm.expectRevert(
            abi.encodeWithSelector(TidemarkLog.SizeNotGrowing.selector, id, type(uint64).max, type(uint64).max)
        );
        vm.prank(publisher);
        c.anchor(id, type(uint64).max, "root", new bytes32[](0));
    }

    function testFuzz_OnlyThePublisherAnchors(address sender) public {
        vm.assume(sender != publisher);
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotPublisher.selector, id, sender, publisher));
        vm.prank(sender);
        c.anchor(id, 1, "root", new bytes32[](0));
    }

    function test_UnknownLogIsRefused() public {
        bytes32 unknown = keccak256("no such log");
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotPublisher.selector, unknown, publisher, address(0)));
        vm.prank(publisher);
        c.anchor(unknown, 1, "root", new bytes32[](0));
    }

    function test_AnchorManyIsAllOrNothing() public {
        bytes32 other = c.open(keccak256("other"), publisher, rotator);
        TidemarkLog.Checkpoint[] memory cs = new TidemarkLog.Checkpoint[](2);
        cs[0] = TidemarkLog.Checkpoint(id, 3, "a", new bytes32[](0));
        cs[1] = TidemarkLog.Checkpoint(other, 4, "b", new bytes32[](0));
        vm.prank(publisher);
        c.anchorMany(cs);
        require(c.getLog(id).size == 3 && c.getLog(other).size == 4);

        bytes32 third = c.open(keccak256("third"), publisher, rotator);
        cs[0] = TidemarkLog.Checkpoint(third, 3, "a", new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.SizeNotGrowing.selector, other, 4, 4));
        vm.prank(publisher);
        c.anchorMany(cs);
        require(c.getLog(third).size == 0);
    }

    // anchorBySig

    function sign(uint256 key, bytes32 log, uint64 size, bytes32 root, uint256 deadline)
        private
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 h = keccak256(
            abi.encode(
                keccak256("Anchor(bytes32 id,uint64 size,bytes32 root,uint256 deadline)"), log, size, root, deadline
            )
        );
        return vm.sign(key, keccak256(abi.encodePacked(hex"1901", c.domainSeparator(), h)));
    }

    function test_AnybodyMayRelayASignedCheckpoint() public {
        (uint8 v, bytes32 r, bytes32 s) = sign(KEY, id, 7, "root", 1000);
        vm.warp(1000);
        vm.prank(thief);
        c.anchorBySig(id, 7, "root", new bytes32[](0), 1000, abi.encodePacked(r, s, v));
        require(c.getLog(id).size == 7 && c.getLog(id).root == "root");

        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.SizeNotGrowing.selector, id, 7, 7));
        c.anchorBySig(id, 7, "root", new bytes32[](0), 1000, abi.encodePacked(r, s, v));
    }

    function test_SignatureEndsAtItsDeadline() public {
        (uint8 v, bytes32 r, bytes32 s) = sign(KEY, id, 7, "root", 1000);
        vm.warp(1001);
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.SignatureExpired.selector, 1000));
        c.anchorBySig(id, 7, "root", new bytes32[](0), 1000, abi.encodePacked(r, s, v));
    }

    function testFuzz_SignatureBindsEveryField(uint64 size, bytes32 root, uint256 deadline) public {
        vm.assume(size > 0 && deadline >= block.timestamp && (size != 7 || root != "root" || deadline != 1000));
        (uint8 v, bytes32 r, bytes32 s) = sign(KEY, id, 7, "root", 1000);
        (bool ok,) = address(c)
            .call(
                abi.encodeCall(c.anchorBySig, (id, size, root, new bytes32[](0), deadline, abi.encodePacked(r, s, v)))
            );
        require(!ok && c.getLog(id).size == 0);
    }

    function test_SignatureIsGoodOnOneChainOnly() public {
        (uint8 v, bytes32 r, bytes32 s) = sign(KEY, id, 7, "root", 1000);
        vm.chainId(2);
        (bool ok,) = address(c)
            .call(abi.encodeCall(c.anchorBySig, (id, 7, "root", new bytes32[](0), 1000, abi.encodePacked(r, s, v))));
        require(!ok && c.getLog(id).size == 0);
    }

    function test_MalformedSignaturesAreRefused() public {
        (uint8 v, bytes32 r, bytes32 s) = sign(KEY, id, 7, "root", 1000);
        bytes[] memory bad = new bytes[](6);
        bad[0] = "";
        bad[1] = abi.encodePacked(r, s);
        bad[2] = abi.encodePacked(r, s, v, uint8(0));
        bad[3] = abi.encodePacked(r, s, uint8(29));
        bad[4] = abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27)); // EIP-2
        bad[5] = new bytes(65);
        for (uint256 i = 0; i < bad.length; i++) {
            vm.expectRevert(abi.encodeWithSelector(TidemarkLog.MalformedSignature.selector));
            c.anchorBySig(id, 7, "root", new bytes32[](0), 1000, bad[i]);
            vm.expectRevert(abi.encodeWithSelector(TidemarkLog.MalformedSignature.selector));
            c.anchorBySig(keccak256("not open"), 7, "root", new bytes32[](0), 1000, bad[i]);
        }
    }

    // Rotation

    function test_RotationTakesTwoSteps() public {
        address next = address(0x2E47);
        vm.prank(rotator);
        c.proposePublisher(id, next);
        require(c.getLog(id).publisher == publisher);
        vm.prank(next);
        c.acceptPublisher(id);
        TidemarkLog.Log memory l = c.getLog(id);
        require(l.publisher == next && l.proposed == address(0) && l.rotator == rotator);

        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotPublisher.selector, id, publisher, next));
        vm.prank(publisher);
        c.anchor(id, 1, "root", new bytes32[](0));
        (uint8 v, bytes32 r, bytes32 s) = sign(KEY, id, 7, "root", 1000);
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotPublisher.selector, id, publisher, next));
        c.anchorBySig(id, 7, "root", new bytes32[](0), 1000, abi.encodePacked(r, s, v));
    }

    function testFuzz_OnlyTheRotatorProposes(address sender) public {
        vm.assume(sender != rotator);
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotRotator.selector, id, sender, rotator));
        vm.prank(sender);
        c.proposePublisher(id, sender);
    }

    function testFuzz_OnlyTheProposedAccepts(address sender, address next) public {
        vm.assume(sender != next && sender != address(0));
        vm.prank(rotator);
        c.proposePublisher(id, next);
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotProposed.selector, id, sender, next));
        vm.prank(sender);
        c.acceptPublisher(id);
    }

    function test_ProposalCanBeWithdrawn() public {
        vm.prank(rotator);
        c.proposePublisher(id, thief);
        vm.prank(rotator);
        c.proposePublisher(id, address(0));
        vm.expectRevert(abi.encodeWithSelector(TidemarkLog.NotProposed.selector, id, thief, address(0)));
        vm.prank(thief);
        c.acceptPublisher(id);
    }

    // Inclusion

    function testFuzz_EveryLeafIsIncludedAtItsPlaceOnly(uint8 size, bytes32 seed) public {
        uint256 n = uint256(size) % 40 + 1;
        bytes32[] memory d = Merkle.leaves(n, seed);
        anchorAs(publisher, d, 0, n);
        for (uint256 i = 0; i < n; i++) {
            bytes32[] memory p = Merkle.path(i, d, 0, n);
            require(c.verifyInclusion(id, uint64(i), d[i], p));
            require(!c.verifyInclusion(id, uint64(i), Merkle.leafHash("other"), p));
            require(n == 1 || !c.verifyInclusion(id, uint64((i + 1) % n), d[i], p));
            require(!c.verifyInclusion(id, uint64(i), d[i], Merkle.append(p, seed)));
            require(!c.verifyInclusion(id, uint64(n), d[i], p));
        }
    }

    function test_DuplicatedLastLeafHasAnotherRoot() public pure {
        // CVE-2012-2459: [a, b, c] and [a, b, c, c] must differ.
        bytes32[] memory d = Merkle.leaves(3, "cve");
        require(Merkle.root(d, 0, 3) != Merkle.root(Merkle.append(d, d[2]), 0, 4));
    }

    function header(uint64 index, uint64 rows, bytes32 rowRoot) private pure returns (bytes memory) {
        return bytes.concat(
            hex"0201", new bytes(38), bytes8(index), new bytes(8), bytes8(rows), new bytes(64), rowRoot, new bytes(96)
        );
    }

    function test_RowIsProvenThroughItsHeader() public {
        bytes32[] memory rows = Merkle.leaves(11, "rows");
        bytes memory h = header(5, 11, Merkle.root(rows, 0, 11));
        bytes32[] memory d = Merkle.leaves(9, "headers");
        d[5] = Merkle.leafHash(h);
        anchorAs(publisher, d, 0, 9);
        bytes32[] memory hp = Merkle.path(5, d, 0, 9);
        for (uint64 pos = 0; pos < 11; pos++) {
            bytes32[] memory rp = Merkle.path(pos, rows, 0, 11);
            require(c.verifyRow(id, h, hp, pos, rows[pos], rp));
            require(!c.verifyRow(id, h, hp, (pos + 1) % 11, rows[pos], rp));
            require(!c.verifyRow(id, h, hp, pos, Merkle.leafHash("x"), rp));
        }
        bytes32[] memory p0 = Merkle.path(0, rows, 0, 11);
        require(!c.verifyRow(id, bytes.concat(h, hex"00"), hp, 0, rows[0], p0));
        require(!c.verifyRow(id, "", hp, 0, rows[0], p0));
        require(!c.verifyRow(keccak256("not open"), h, hp, 0, rows[0], p0));
        for (uint256 i = 0; i < 256; i++) {
            h[i] ^= 0x01;
            require(!c.verifyRow(id, h, hp, 0, rows[0], p0));
            h[i] ^= 0x01;
        }
    }
}

/// @notice Tries honest growth, rewrites, rotation and squatting in any order.
contract Adversary {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    TidemarkLog public immutable c;
    bytes32 public immutable id;
    address public immutable rotator = address(0xC01D);
    address public publisher = address(0xA11CE);
    bytes32[] private honest; // leaf hashes of the honest log
    uint256 public anchored; // size anchored by the honest publisher
    uint256 public count; // checkpoints of the honest publisher
    uint256 public refused; // of them, refused by the contract
    uint256 public forged; // accepted checkpoints that rewrite history

    constructor() {
        c = new TidemarkLog();
        id = c.open("log", publisher, rotator);
    }

    function grow(uint8 by) external {
        uint256 to = anchored + uint256(by) % 20 + 1;
        for (uint256 i = honest.length; i < to; i++) {
            honest.push(Merkle.leafHash(abi.encode(i)));
        }
        bytes32[] memory d = honest;
        bytes32[] memory p = anchored == 0 ? new bytes32[](0) : Merkle.proof(anchored, d, 0, to);
        if (!anchor(uint64(to), Merkle.root(d, 0, to), p)) refused++;
        anchored = to;
        count++;
    }

    function rewrite(uint8 which, uint8 by) external {
        if (anchored == 0) return;
        uint256 to = anchored + uint256(by) % 20 + 1;
        bytes32[] memory d = Merkle.leaves(to, "forged");
        for (uint256 i = 0; i < anchored; i++) {
            if (i != uint256(which) % anchored) d[i] = honest[i];
        }
        if (anchor(uint64(to), Merkle.root(d, 0, to), Merkle.proof(anchored, d, 0, to))) forged++;
    }

    function garbage(uint64 size, bytes32 newRoot, bytes32[] calldata p) external {
        if (anchored != 0 && anchor(size, newRoot, p)) forged++;
    }

    /// @dev Hashing calls a precompile and would use up a prank: all arguments come ready.
    function anchor(uint64 size, bytes32 newRoot, bytes32[] memory p) private returns (bool ok) {
        vm.prank(publisher);
        (ok,) = address(c).call(abi.encodeCall(c.anchor, (id, size, newRoot, p)));
    }

    function steal(address who, uint64 size, bytes32 newRoot) external {
        if (who == publisher) return;
        vm.prank(who);
        c.anchor(id, size, newRoot, new bytes32[](0));
    }

    function reopen(address p, address r) external {
        c.open("log", p, r);
    }

    function rotate(address next) external {
        if (next == address(0)) return;
        vm.prank(rotator);
        c.proposePublisher(id, next);
        vm.prank(next);
        c.acceptPublisher(id);
        publisher = next;
    }

    function root() external view returns (bytes32) {
        return anchored == 0 ? bytes32(0) : Merkle.root(honest, 0, anchored);
    }
}

contract TidemarkLogInvariants {
    Adversary private a;

    function setUp() public {
        a = new Adversary();
    }

    function targetContracts() public view returns (address[] memory t) {
        t = new address[](1);
        t[0] = address(a);
    }

    /// @notice Whatever is tried, the log holds the honest history and nothing else.
    function invariant_LogIsTheHonestHistory() public view {
        require(a.refused() == 0 && a.forged() == 0);
        TidemarkLog.Log memory l = a.c().getLog(a.id());
        require(l.size == a.anchored() && l.root == a.root() && l.seq == a.count());
        require(l.publisher == a.publisher() && l.rotator == a.rotator());
    }
}
