// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice RFC 9162, Section 2.1, written as the recursive definitions stand
/// there: slow, and no line shared with the contract.
library Merkle {
    function leafHash(bytes memory leaf) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"00", leaf));
    }

    /// @notice MTH(D[lo:hi]) over leaf hashes.
    function root(bytes32[] memory d, uint256 lo, uint256 hi) internal pure returns (bytes32) {
        if (hi == lo) return sha256("");
        if (hi - lo == 1) return d[lo];
        uint256 k = split(hi - lo);
        return sha256(abi.encodePacked(hex"01", root(d, lo, lo + k), root(d, lo + k, hi)));
    }

    /// @notice PATH(m, D[lo:hi]).
    function path(uint256 m, bytes32[] memory d, uint256 lo, uint256 hi) internal pure returns (bytes32[] memory) {
        if (hi - lo == 1) return new bytes32[](0);
        uint256 k = split(hi - lo);
        return m < k
            ? append(path(m, d, lo, lo + k), root(d, lo + k, hi))
            : append(path(m - k, d, lo + k, hi), root(d, lo, lo + k));
    }

    /// @notice PROOF(m, D[lo:hi]) for 0 < m < hi - lo.
    function proof(uint256 m, bytes32[] memory d, uint256 lo, uint256 hi) internal pure returns (bytes32[] memory) {
        return subproof(m, d, lo, hi, true);
    }

    function subproof(uint256 m, bytes32[] memory d, uint256 lo, uint256 hi, bool whole)
        internal
        pure
        returns (bytes32[] memory)
    {
        if (m == hi - lo) return whole ? new bytes32[](0) : append(new bytes32[](0), root(d, lo, hi));
        uint256 k = split(hi - lo);
        return m <= k
            ? append(subproof(m, d, lo, lo + k, whole), root(d, lo + k, hi))
            : append(subproof(m - k, d, lo + k, hi, false), root(d, lo, lo + k));
    }

    /// @notice The largest power of two smaller than n.
    function split(uint256 n) internal pure returns (uint256 k) {
        k = 1;
        while (k * 2 < n) k *= 2;
    }

    function append(bytes32[] memory a, bytes32 b) internal pure returns (bytes32[] memory c) {
        c = new bytes32[](a.length + 1);
        for (uint256 i = 0; i < a.length; i++) {
            c[i] = a[i];
        }
        c[a.length] = b;
    }

    /// @notice n leaf hashes that depend on the seed.
    function leaves(uint256 n, bytes32 seed) internal pure returns (bytes32[] memory d) {
        d = new bytes32[](n);
        for (uint256 i = 0; i < n; i++) {
            d[i] = leafHash(abi.encode(seed, i));
        }
    }
}
