// Package anchor keeps the ledger: a log of batches whose rows, exporter
// tables and events are leaves of RFC 9162 trees, so that none can be changed
// afterwards without it showing.
//
// Every hashed object begins with a type and a version octet behind the 0x00
// of an RFC 9162 leaf, so no object can be mistaken for another or for an
// inner node. schema_v1.txt is the exact definition; its hash stands in every
// header.
package anchor

import (
	"crypto/sha256"
	_ "embed"
)

// Type octets of hashed objects.
const (
	typeRow           = 0x01
	typeHeader        = 0x02
	typeExporterTable = 0x03
	typeEvent         = 0x05

	encodingVersion = 0x01
)

// SchemaID is the number of the schema document this program writes and reads.
const SchemaID = 1

//go:embed schema_v1.txt
var schemaDocument string

// SchemaDocument is the text that defines every encoding of schema 1. It is
// part of a log's genesis event.
func SchemaDocument() string { return schemaDocument }

// SchemaHash is SHA-256 of SchemaDocument.
func SchemaHash() [32]byte { return sha256.Sum256([]byte(schemaDocument)) }
