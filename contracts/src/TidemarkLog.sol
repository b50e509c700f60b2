// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Append-only Merkle logs, held to RFC 9162
/// @notice Keeps the newest checkpoint (tree size and root hash) of any number of
/// logs. A checkpoint is accepted only with an RFC 9162 consistency proof from
/// the one before it, so nobody can rewrite what was anchored: not the holder of
/// the publisher key, not this contract's deployer.
/// @dev Nothing here can be changed after deployment: no owner, no proxy, no
/// pause, no selfdestruct, no delegatecall, no immutable, hence one code hash on
/// every chain. Only the newest checkpoint is stored; earlier ones are events.
/// What the contract does not promise: that the leaves are true, that a log goes
/// on, or that the same party has no second log. Readers pin chain id, contract
/// address and the log's id.
contract TidemarkLog {
    /// @dev `publisher`, `size` and `seq` share one slot and `root` is the other
    /// one that anchoring touches.
    struct Log {
        address publisher; // may anchor
        uint64 size; // tree size of the newest checkpoint, 0 before the first
        uint32 seq; // number of checkpoints so far
        bytes32 root; // RFC 9162 root hash of the newest checkpoint
        address rotator; // may propose another publisher, 0 = nobody can
        address proposed; // publisher that has been proposed and has not accepted
    }

    /// @dev One element of `anchorMany`, in the meaning of `anchor`'s arguments.
    struct Checkpoint {
        bytes32 id;
        uint64 size;
        bytes32 root;
        bytes32[] proof;
    }

    /// @notice Log `id` was opened for `logId`.
    event Opened(bytes32 indexed id, bytes32 indexed logId, address publisher, address rotator);
    /// @notice Log `id` has grown from `prevSize` to `size` leaves.
    event Anchored(bytes32 indexed id, uint64 indexed size, bytes32 root, uint32 seq, uint64 prevSize);
    /// @notice The rotator of log `id` proposed `next` as its publisher.
    event PublisherProposed(bytes32 indexed id, address indexed next);
    /// @notice The publisher of log `id` is now `next`.
    event PublisherChanged(bytes32 indexed id, address indexed previous, address indexed next);

    error AlreadyOpen(bytes32 id);
    error PublisherIsZero();
    /// @dev `publisher` is 0 when no log has this id.
    error NotPublisher(bytes32 id, address caller, address publisher);
    error NotRotator(bytes32 id, address caller, address rotator);
    error NotProposed(bytes32 id, address caller, address proposed);
    error SizeNotGrowing(bytes32 id, uint64 current, uint64 size);
    error InconsistentCheckpoint(bytes32 id, uint64 current, uint64 size);
    error SignatureExpired(uint256 deadline);
    error MalformedSignature();

    /// @dev EIP-712. The domain is computed on each call: nothing to go stale on a
    /// chain split, and no immutable in the code.
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant ANCHOR_TYPE = keccak256("Anchor(bytes32 id,uint64 size,bytes32 root,uint256 deadline)");
    bytes32 private constant NAME_HASH = keccak256("Tidemark");
    bytes32 private constant VERSION_HASH = keccak256("1");
    /// @dev Half the order of secp256k1: a signature has one accepted form (EIP-2).
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    mapping(bytes32 id => Log) private _logs;

    // Opening and rotation

    /// @notice Opens a log. Its id is a hash over all arguments, so the id cannot
    /// be taken by another publisher or another rotator: whoever sends this call,
    /// the outcome is the same.
    /// @param logId The log's name outside the chain (H of origin and log key).
    /// @param publisher The only address whose checkpoints are accepted.
    /// @param rotator A cold key that may replace a lost or stolen publisher; 0
    /// gives that up for ever.
    /// @return id The log's id in this contract.
    function open(bytes32 logId, address publisher, address rotator) external returns (bytes32 id) {
        if (publisher == address(0)) revert PublisherIsZero();
        id = idOf(logId, publisher, rotator);
        Log storage log = _logs[id];
        if (log.publisher != address(0)) revert AlreadyOpen(id);
        log.publisher = publisher;
        log.rotator = rotator;
        emit Opened(id, logId, publisher, rotator);
    }

    /// @notice First step of a rotation, by the rotator. The present publisher
    /// stays in office until the proposed one accepts; 0 withdraws the proposal.
    function proposePublisher(bytes32 id, address next) external {
        Log storage log = _logs[id];
        if (msg.sender != log.rotator) revert NotRotator(id, msg.sender, log.rotator);
        log.proposed = next;
        emit PublisherProposed(id, next);
    }

    /// @notice Second step, by the proposed publisher: proves that its key is at hand.
    function acceptPublisher(bytes32 id) external {
        Log storage log = _logs[id];
        if (msg.sender != log.proposed) revert NotProposed(id, msg.sender, log.proposed);
        emit PublisherChanged(id, log.publisher, msg.sender);
        log.publisher = msg.sender;
        delete log.proposed;
    }

    // Anchoring

    /// @notice Anchors a checkpoint of log `id`.
    /// @param size Tree size; must be larger than the anchored one.
    /// @param root RFC 9162 root hash at `size`.
    /// @param proof Consistency proof from the anchored size to `size` (RFC 9162,
    /// Section 2.1.4); empty for a log's first checkpoint, which is taken on trust.
    function anchor(bytes32 id, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        _anchor(msg.sender, id, size, root, proof);
    }

    /// @notice Anchors a checkpoint that the publisher signed and somebody else
    /// pays for.
    /// @param deadline Last block timestamp at which the signature counts.
    /// @param signature EIP-712 signature `r || s || v` over
    /// `Anchor(bytes32 id,uint64 size,bytes32 root,uint256 deadline)`.
    /// @dev No nonce: a used signature names a size that is not growing any more.
    function anchorBySig(
        bytes32 id,
        uint64 size,
        bytes32 root,
        bytes32[] calldata proof,
        uint256 deadline,
        bytes calldata signature
    ) external {
        if (block.timestamp > deadline) revert SignatureExpired(deadline);
        bytes32 digest = keccak256(
            abi.encodePacked(hex"1901", domainSeparator(), keccak256(abi.encode(ANCHOR_TYPE, id, size, root, deadline)))
        );
        _anchor(_signer(digest, signature), id, size, root, proof);
    }

    /// @notice Anchors checkpoints of several logs of one publisher, all or none.
    function anchorMany(Checkpoint[] calldata checkpoints) external {
        for (uint256 i = 0; i < checkpoints.length; i++) {
            Checkpoint calldata c = checkpoints[i];
            _anchor(msg.sender, c.id, c.size, c.root, c.proof);
        }
    }

    // Reading

    /// @notice The log with this id; `publisher` is 0 when there is none.
    function getLog(bytes32 id) external view returns (Log memory) {
        return _logs[id];
    }

    /// @notice The id that `open` gives to these arguments.
    function idOf(bytes32 logId, address publisher, address rotator) public pure returns (bytes32) {
        return keccak256(abi.encode(logId, publisher, rotator));
    }

    /// @notice EIP-712 domain of `anchorBySig` on this chain.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, NAME_HASH, VERSION_HASH, block.chainid, address(this)));
    }

    /// @notice Whether a leaf is in log `id` as anchored now.
    /// @param leafHash `SHA-256(0x00 || leaf)`. Hash the leaf yourself: a hash
    /// taken from elsewhere may be that of an inner node.
    function verifyInclusion(bytes32 id, uint64 index, bytes32 leafHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        Log storage log = _logs[id];
        return inclusionHolds(index, log.size, leafHash, log.root, proof);
    }

    /// @notice Whether a row is at `pos` of the batch whose header is a leaf of
    /// log `id` as anchored now.
    /// @param header The 256-octet batch header, version 1. Batch index, row count
    /// and root of the rows are read from it.
    /// @param headerProof Inclusion proof of the header in the log.
    /// @param rowHash `SHA-256(0x00 || row || salt)`, hashed by the caller.
    /// @param rowProof Inclusion proof of the row in the batch.
    function verifyRow(
        bytes32 id,
        bytes calldata header,
        bytes32[] calldata headerProof,
        uint64 pos,
        bytes32 rowHash,
        bytes32[] calldata rowProof
    ) external view returns (bool) {
        if (header.length != 256 || header[0] != 0x02 || header[1] != 0x01) return false;
        Log storage log = _logs[id];
        bytes32 headerHash = sha256(abi.encodePacked(bytes1(0x00), header));
        uint64 index = uint64(bytes8(header[40:48]));
        if (!inclusionHolds(index, log.size, headerHash, log.root, headerProof)) return false;
        return inclusionHolds(pos, uint64(bytes8(header[56:64])), rowHash, bytes32(header[128:160]), rowProof);
    }

    /// @notice RFC 9162, Section 2.1.3.2: whether `proof` shows that `leafHash` is
    /// leaf `index` of the tree of `size` leaves with this `root`.
    function inclusionHolds(uint64 index, uint64 size, bytes32 leafHash, bytes32 root, bytes32[] calldata proof)
        public
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint256 fn = index;
        uint256 sn = uint256(size) - 1;
        bytes32 r = leafHash;
        for (uint256 i = 0; i < proof.length; i++) {
            if (sn == 0) return false;
            if (fn & 1 == 1 || fn == sn) {
                r = _nodeHash(proof[i], r);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                r = _nodeHash(r, proof[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && r == root;
    }

    /// @notice RFC 9162, Section 2.1.4.2: whether `proof` shows that the tree of
    /// `second` leaves begins with the tree of `first` leaves. Holds for
    /// 0 < first < second only: equal and empty trees have nothing to prove.
    function consistencyHolds(
        uint64 first,
        bytes32 firstRoot,
        uint64 second,
        bytes32 secondRoot,
        bytes32[] calldata proof
    ) public view returns (bool) {
        if (first == 0 || first >= second || proof.length == 0) return false;
        uint256 fn = uint256(first) - 1;
        uint256 sn = uint256(second) - 1;
        while (fn & 1 == 1) {
            fn >>= 1;
            sn >>= 1;
        }
        // fn is 0 exactly when first is a power of two: then the first root is itself a node.
        uint256 i = fn == 0 ? 0 : 1;
        bytes32 fr = fn == 0 ? firstRoot : proof[0];
        bytes32 sr = fr;
        for (; i < proof.length; i++) {
            if (sn == 0) return false;
            bytes32 c;
            assembly ("memory-safe") {
                c := calldataload(add(proof.offset, shl(5, i))) // proof[i], and i < proof.length
            }
            // The first two cases are one in the RFC; apart they save the inner loop's test.
            if (fn & 1 == 1) {
                (fr, sr) = _nodeHashes(c, fr, sr);
            } else if (fn == sn) {
                (fr, sr) = _nodeHashes(c, fr, sr);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                sr = _nodeHash(sr, c);
            }
            fn >>= 1;
            sn >>= 1;
        }
        return sn == 0 && fr == firstRoot && sr == secondRoot;
    }

    // Inside

    function _anchor(address sender, bytes32 id, uint64 size, bytes32 root, bytes32[] calldata proof) private {
        Log storage log = _logs[id];
        (address publisher, uint64 current, uint32 seq) = (log.publisher, log.size, log.seq);
        if (sender != publisher) revert NotPublisher(id, sender, publisher);
        if (size <= current) revert SizeNotGrowing(id, current, size);
        bool consistent = current == 0 ? proof.length == 0 : consistencyHolds(current, log.root, size, root, proof);
        if (!consistent) revert InconsistentCheckpoint(id, current, size);
        (log.publisher, log.size, log.seq, log.root) = (publisher, size, seq + 1, root);
        emit Anchored(id, size, root, seq + 1, current);
    }

    /// @dev Never returns 0, which would be the publisher of a log that is not open.
    function _signer(bytes32 digest, bytes calldata signature) private pure returns (address signer) {
        if (signature.length != 65) revert MalformedSignature();
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > HALF_ORDER) revert MalformedSignature();
        signer = ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), s);
        if (signer == address(0)) revert MalformedSignature();
    }

    /// @dev `_nodeHash` of two nodes with one left sibling. Both roots climb through
    /// the same node until the trees part: then one hash serves for both.
    function _nodeHashes(bytes32 left, bytes32 a, bytes32 b) private view returns (bytes32 ha, bytes32 hb) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore8(p, 0x01)
            mstore(add(p, 0x01), left)
            mstore(add(p, 0x21), a)
            if iszero(and(eq(returndatasize(), 0x20), staticcall(gas(), 0x02, p, 0x41, 0x00, 0x20))) {
                revert(0, 0)
            }
            ha := mload(0x00)
            hb := ha
            if iszero(eq(a, b)) {
                mstore(add(p, 0x21), b)
                if iszero(and(eq(returndatasize(), 0x20), staticcall(gas(), 0x02, p, 0x41, 0x00, 0x20))) {
                    revert(0, 0)
                }
                hb := mload(0x00)
            }
        }
    }

    /// @dev SHA-256(0x01 || left || right), RFC 9162 Section 2.1.1. In assembly
    /// because it is the inner loop: `sha256(abi.encodePacked(...))` costs about
    /// twice as much gas. 65 octets above the free memory pointer are scratch; the
    /// digest comes back in scratch word 0. Yul evaluates arguments from the right,
    /// so returndatasize is that of this call: a chain without the precompile would
    /// answer "success" with no data.
    function _nodeHash(bytes32 left, bytes32 right) private view returns (bytes32 h) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore8(p, 0x01)
            mstore(add(p, 0x01), left)
            mstore(add(p, 0x21), right)
            if iszero(and(eq(returndatasize(), 0x20), staticcall(gas(), 0x02, p, 0x41, 0x00, 0x20))) {
                revert(0, 0)
            }
            h := mload(0x00)
        }
    }
}
