// Package conformance holds no code: its tests run every capture of other
// people's exports through the decoders and compare what comes out with what
// other projects expect of the same octets.
package conformance
