//go:build !linux

package storage

// directFlag: elsewhere the flag has another name, or there is none.
const directFlag = 0
