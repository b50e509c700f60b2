//go:build !linux

package embedded

// machineMemory is unknown here: the smallest default applies.
func machineMemory() uint64 { return 0 }
