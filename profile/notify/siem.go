package notify

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"time"
)

// types are all families of the alert, the strongest first.
func (a *Alert) types() []any {
	if len(a.Families) == 0 {
		return []any{a.Family}
	}
	out := make([]any, len(a.Families))
	for i, f := range a.Families {
		out[i] = f
	}
	return out
}

// ocsf is the alert as a Detection Finding of OCSF 1.6: class 2004 of category
// 2, Findings.
func ocsf(a *Alert, version string) map[string]any {
	activity, status := int64(1), int64(1) // Create, New
	switch a.Change {
	case Updated:
		activity = 2
	case Acknowledged:
		activity, status = 2, 2 // In Progress
	case Closed:
		activity, status = 3, 4 // Resolved
	}
	severity := map[string]int64{"info": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}[a.Level]
	level := max(severity-1, 0) // risk_level_id has no "informational": 0 is Info
	var attacks []any
	for _, id := range a.Attack {
		attacks = append(attacks, map[string]any{"technique": map[string]any{"uid": id}})
	}
	device := map[string]any{"uid": a.Device.ID, "name": a.Device.Name, "type_id": int64(7)} // IOT
	if a.Device.MAC != "" {
		device["mac"] = a.Device.MAC
	}
	if a.Device.Vendor != "" {
		device["vendor_name"] = a.Device.Vendor
	}
	if len(a.Device.Addresses) > 0 {
		device["ip"] = a.Device.Addresses[0].String()
	}
	observables := []any{}
	for _, ip := range a.Device.Addresses {
		observables = append(observables, map[string]any{"name": "device.ip", "type_id": int64(2), "value": ip.String()}) // IP Address
	}
	if a.Device.MAC != "" {
		observables = append(observables, map[string]any{"name": "device.mac", "type_id": int64(3), "value": a.Device.MAC}) // MAC Address
	}
	info := map[string]any{
		"uid": a.ID, "title": a.Observed, "desc": a.Text, "types": a.types(),
		"first_seen_time": a.Since.UnixMilli(), "last_seen_time": a.Until.UnixMilli(), "created_time": a.Since.UnixMilli(), "modified_time": a.Until.UnixMilli(),
		"analytic": map[string]any{"name": a.Family, "type_id": int64(2)}, // Behavioral
	}
	if len(attacks) > 0 {
		info["attacks"] = attacks
	}
	return map[string]any{
		"activity_id": activity, "category_uid": int64(2), "class_uid": int64(2004), "type_uid": 200400 + activity, "severity_id": severity,
		"category_name": "Findings", "class_name": "Detection Finding",
		"time": a.Until.UnixMilli(), "start_time": a.Since.UnixMilli(), "end_time": a.Until.UnixMilli(),
		"message": a.Text, "status_id": status, "is_alert": a.Change == Raised || a.Change == Updated || a.Change == Digest, "count": int64(a.Findings),
		"risk_score": int64(a.Risk), "risk_level_id": level, "risk_details": a.Expected,
		"device": device, "finding_info": info, "observables": observables,
		"metadata": map[string]any{
			"version": "1.6.0", "uid": a.Key(), "tenant_uid": a.Site,
			"product": map[string]any{"name": "Tidemark", "vendor_name": "Tidemark", "version": version},
		},
	}
}

// ecs is the alert as a document of the Elastic Common Schema.
func ecs(a *Alert, version string) map[string]any {
	kind := map[Change]string{Raised: "creation", Updated: "change", Acknowledged: "change", Closed: "end"}[a.Change]
	if kind == "" {
		kind = "info"
	}
	addresses := []any{}
	for _, ip := range a.Device.Addresses {
		addresses = append(addresses, ip.String())
	}
	host := map[string]any{"id": a.Device.ID, "name": a.Device.Name, "ip": addresses}
	if a.Device.MAC != "" { // RFC 7042: upper case, hyphens
		host["mac"] = []any{strings.ToUpper(strings.ReplaceAll(a.Device.MAC, ":", "-"))}
	}
	doc := map[string]any{
		"@timestamp": a.Until.UTC().Format(time.RFC3339Nano), "ecs": map[string]any{"version": "8.17.0"}, "message": a.Text,
		"event": map[string]any{
			"kind": "alert", "category": []any{"network", "intrusion_detection"}, "type": []any{kind}, "module": "tidemark", "id": a.Key(),
			"start": a.Since.UTC().Format(time.RFC3339Nano), "end": a.Until.UTC().Format(time.RFC3339Nano),
			"risk_score": float64(a.Risk), "severity": int64(a.Risk), "reason": a.Observed, "action": string(a.Change),
		},
		"rule":     map[string]any{"name": a.Family, "uuid": a.ID, "description": a.Expected},
		"host":     host,
		"observer": map[string]any{"vendor": "Tidemark", "product": "Tidemark", "type": "flow-collector", "version": version, "name": a.Site},
		"related":  map[string]any{"ip": addresses},
	}
	if len(a.Attack) > 0 {
		ids := []any{}
		for _, id := range a.Attack {
			ids = append(ids, id)
		}
		doc["threat"] = map[string]any{"framework": "MITRE ATT&CK", "technique": map[string]any{"id": ids}}
	}
	return doc
}

// stix is the alert as a STIX 2.1 bundle: what was seen (observed-data about the
// device's addresses), what it means (note), and the techniques.
func stix(a *Alert) map[string]any {
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	made := stamp(a.Until)
	identity := stixID("identity", "tidemark", a.Site)
	objects := []any{map[string]any{
		"type": "identity", "spec_version": "2.1", "id": identity, "created": made, "modified": made,
		"name": "Tidemark at " + a.Site, "identity_class": "system",
	}}
	var refs []any
	for _, ip := range a.Device.Addresses {
		kind := "ipv4-addr"
		if ip.Is6() && !ip.Is4In6() {
			kind = "ipv6-addr"
		}
		id := observableID(kind, ip.Unmap().String())
		objects = append(objects, map[string]any{"type": kind, "spec_version": "2.1", "id": id, "value": ip.Unmap().String()})
		refs = append(refs, id)
	}
	if a.Device.MAC != "" {
		mac := strings.ToLower(a.Device.MAC)
		id := observableID("mac-addr", mac)
		objects = append(objects, map[string]any{"type": "mac-addr", "spec_version": "2.1", "id": id, "value": mac})
		refs = append(refs, id)
	}
	about := []any{identity}
	if len(refs) > 0 {
		id := stixID("observed-data", a.Key())
		objects = append(objects, map[string]any{
			"type": "observed-data", "spec_version": "2.1", "id": id, "created": made, "modified": made, "created_by_ref": identity,
			"first_observed": stamp(a.Since), "last_observed": made, "number_observed": min(max(int64(a.Findings), 1), 999999999), "object_refs": refs,
		})
		about = append(about, id)
	}
	for _, technique := range a.Attack {
		id := stixID("attack-pattern", technique)
		objects = append(objects, map[string]any{
			"type": "attack-pattern", "spec_version": "2.1", "id": id, "created": made, "modified": made, "name": technique,
			"external_references": []any{map[string]any{"source_name": "mitre-attack", "external_id": technique}},
		})
		about = append(about, id)
	}
	objects = append(objects, map[string]any{
		"type": "note", "spec_version": "2.1", "id": stixID("note", a.Key()), "created": made, "modified": made, "created_by_ref": identity,
		"abstract": a.title(), "content": plain(a), "object_refs": about, "labels": []any{a.Level, a.Family},
	})
	return map[string]any{"type": "bundle", "id": stixID("bundle", a.Key()), "objects": objects}
}

// stixNamespace is that of STIX 2.1 section 2.9, for observables only.
var stixNamespace = [16]byte{0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c, 0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7}

// observableID is the id every producer gives an observable with this value.
func observableID(kind, value string) string {
	return uuid5(stixNamespace, kind, fmt.Sprintf(`{"value":%q}`, value))
}

// stixID names any other object by its content, so that a repeat is the same object.
func stixID(kind string, parts ...string) string {
	return uuid5([16]byte{'t', 'i', 'd', 'e', 'm', 'a', 'r', 'k'}, kind, strings.Join(append(parts, kind), "\x00"))
}

// uuid5 is a UUID of version 5 (RFC 9562 section 5.5).
func uuid5(namespace [16]byte, kind, name string) string {
	h := sha1.New()
	h.Write(namespace[:])
	h.Write([]byte(name))
	u := h.Sum(nil)[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return fmt.Sprintf("%s--%x-%x-%x-%x-%x", kind, u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
