package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/urfave/cli/v2"

	"tidemark/anchor"
	"tidemark/enrich/inventory"
	"tidemark/storage"
)

// subject is whom an erasure is about, and of when.
type subject struct {
	Device    uint64       `json:"device,string"`
	MAC       uint64       `json:"mac,string"`
	Members   []uint64     `json:"members"` // ids beside Device under which it is stored, as found or merged
	MACs      []uint64     `json:"macs"`    // of those
	Addresses []netip.Addr `json:"addresses"`
	Names     []string     `json:"names"` // what texts call it
	From      time.Time    `json:"from,omitzero"`
	To        time.Time    `json:"to,omitzero"`
	// ByAddress: flows are found by address; otherwise by device, and addresses
	// only in what was derived.
	ByAddress bool     `json:"by_address"`
	Alerts    []string `json:"alerts"` // that name it, found when the erasure is planned
}

func (s *subject) nobody() bool { return s.Device == 0 && (!s.ByAddress || len(s.Addresses) != 1) }

// always says whether the erasure is of all time: only then does it reach what says
// nothing of when.
func (s *subject) always() bool { return s.From.IsZero() && s.To.IsZero() }

// subject finds whom --device or --address names.
func (s *store) subject(c *cli.Context) (of subject, err error) {
	if of.From, err = timeFlag(c, "from"); err != nil {
		return of, err
	}
	if of.To, err = timeFlag(c, "to"); err != nil {
		return of, err
	}
	if !of.From.IsZero() && !of.To.IsZero() && !of.From.Before(of.To) {
		return of, usageError{fmt.Errorf("erase: got --from %s and --to %s, want --to later", stamp(of.From), stamp(of.To))}
	}
	if text := c.String("address"); text != "" {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return of, usageError{fmt.Errorf("--address: got %q, want an IP address such as 10.20.1.11", text)}
		}
		of.ByAddress, of.Addresses, of.Names = true, []netip.Addr{a.Unmap()}, []string{a.Unmap().String()}
		if d, err := s.device(c.Context, text); err == nil && d.Identity == "address" {
			of.Device = d.ID // the device is this address
			of.Names = append(of.Names, d.Name(), strconv.FormatUint(d.ID, 10))
		}
		return of, nil
	}
	d, err := s.device(c.Context, c.String("device"))
	if err != nil {
		return of, err
	}
	q, err := s.questions()
	if err != nil {
		return of, err
	}
	spans, err := q.Intervals(c.Context, d)
	if err != nil {
		return of, err
	}
	of.Device, of.MAC, of.Members, of.Addresses = d.ID, d.MAC, d.Members, d.Addresses
	for _, x := range spans {
		of.MACs = append(of.MACs, x.MAC)
	}
	for _, id := range of.devices() {
		of.Names = append(of.Names, fmt.Sprintf("%016x", id), strconv.FormatUint(id, 10))
	}
	for _, mac := range of.macs() {
		of.Names = append(of.Names, inventory.MAC(mac))
	}
	for _, a := range of.Addresses {
		of.Names = append(of.Names, a.Unmap().String())
	}
	return of, nil
}

// devices are the ids of the subject, none for an address alone.
func (s *subject) devices() []uint64 { return known(s.Members, s.Device) }

func (s *subject) macs() []uint64 { return known(s.MACs, s.MAC) }

// known is the set of values that are not 0, the value for something unknown.
func known(list []uint64, first uint64) []uint64 {
	list = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(list), first))))
	return slices.DeleteFunc(list, func(v uint64) bool { return v == 0 })
}

// pattern matches texts that name the subject, as whole words.
func (s *subject) pattern() string {
	quoted := make([]string, len(s.Names))
	for i, name := range s.Names {
		quoted[i] = regexp.QuoteMeta(name)
	}
	return `(?i)(?:^|[^0-9a-z.:])(?:::ffff:)?(?:` + strings.Join(quoted, "|") + `)(?:$|[^0-9a-z.:]|[.:](?:$|[^0-9a-z]))`
}

func (s *subject) parameters(log uint64) clickhouse.Parameters {
	p := clickhouse.Parameters{"log": fmt.Sprint(log), "devices": idList(s.devices()), "address": "", "pattern": s.pattern(), "from": "0", "to": "0", "alerts": quoteList(s.Alerts)}
	if s.ByAddress {
		p["address"] = s.Addresses[0].String()
	}
	if !s.From.IsZero() {
		p["from"] = strconv.FormatInt(s.From.UnixNano(), 10)
	}
	if !s.To.IsZero() {
		p["to"] = strconv.FormatInt(s.To.UnixNano(), 10)
	}
	return p
}

var (
	//go:embed sql/erase_flows.sql
	eraseFlowsSQL string
	//go:embed sql/erase_events.sql
	eraseEventsSQL string
	//go:embed sql/erase_alerts.sql
	eraseAlertsSQL string
	//go:embed sql/erase_count.sql
	eraseCountSQL string
	//go:embed sql/erase_rows.sql
	eraseRowsSQL string
	//go:embed sql/erase_tables.sql
	eraseTablesSQL string
)

// planErasure finds what an erasure reaches.
func planErasure(ctx context.Context, db *storage.DB, log *anchor.Reader, dir string, of subject) (p erasePlan, err error) {
	p.Aggregates = map[string]uint64{}
	if of.Alerts, err = alertsOf(ctx, db, of.parameters(log.ID())); err != nil {
		return p, fmt.Errorf("plan erasure: %w", err)
	}
	p.subject = of
	batches := map[uint64][]uint32{}
	for _, sql := range []string{eraseFlowsSQL, eraseEventsSQL} {
		n, err := placesOf(ctx, db, sql, of.parameters(log.ID()), log.Size(), batches)
		if err != nil {
			return p, fmt.Errorf("plan erasure: %w", err)
		}
		if sql == eraseFlowsSQL {
			p.Flows = n
		} else {
			p.Events = n
		}
	}
	p.Batches = uint64(len(batches))
	for index := range log.Size() {
		if positions := batches[index]; len(positions) > 0 {
			p.leaves = append(p.leaves, anchor.NewErasedBatch(index, positions))
		}
	}
	conditions, err := derived(ctx, db, of)
	if err != nil {
		return p, fmt.Errorf("plan erasure: %w", err)
	}
	for table, where := range conditions {
		var n uint64
		if err := db.Conn().QueryRow(ctx, fmt.Sprintf(eraseCountSQL, table, where)).Scan(&n); err != nil {
			return p, fmt.Errorf("plan erasure in %s: %w", table, err)
		}
		if table == "incidents" {
			p.Alerts = n
		} else if n > 0 {
			p.Aggregates[table] = n
		}
	}
	damaged, err := damagedRecords(dir, log, of)
	p.Damaged = uint64(len(damaged))
	return p, err
}

// alertsOf are the alerts that name the subject.
func alertsOf(ctx context.Context, db *storage.DB, params clickhouse.Parameters) (alerts []string, err error) {
	rows, err := db.Conn().Query(clickhouse.Context(ctx, clickhouse.WithParameters(params)), eraseAlertsSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var alert string
		if err := rows.Scan(&alert); err != nil {
			return nil, err
		}
		alerts = append(alerts, alert)
	}
	return alerts, rows.Err()
}

// placesOf adds the positions that a query for (batch_index, positions) finds in
// committed batches.
func placesOf(ctx context.Context, db *storage.DB, sql string, params clickhouse.Parameters, size uint64, to map[uint64][]uint32) (n uint64, err error) {
	rows, err := db.Conn().Query(clickhouse.Context(ctx, clickhouse.WithParameters(params)), sql)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var batch uint64
		var positions []uint32
		if err := rows.Scan(&batch, &positions); err != nil {
			return 0, err
		}
		if batch == 0 || batch >= size {
			continue
		}
		to[batch] = positions
		n += uint64(len(positions))
	}
	return n, rows.Err()
}

// derived is, by table, the condition on the rows that were made of the subject's
// flows or say something of it. A table without a day is left alone when the
// erasure is of a part of the time only: it says nothing of when.
func derived(ctx context.Context, db *storage.DB, of subject) (map[string]string, error) {
	rows, err := db.Conn().Query(ctx, eraseTablesSQL)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]string{"incidents": "has(" + quoteList(of.Alerts) + "::Array(String), leftPad(lower(hex(id)), 16, '0'))"}
	for rows.Next() {
		var table string
		var columns []string
		if err := rows.Scan(&table, &columns); err != nil {
			return nil, err
		}
		if where := of.condition(columns); where != "" {
			out[table] = where
		}
	}
	return out, rows.Err()
}

func (s *subject) condition(columns []string) string {
	has := map[string]bool{}
	for _, name := range columns {
		has[name] = true
	}
	if !has["received"] && !s.always() {
		return ""
	}
	var either []string
	for _, name := range []string{"device", "peer_device"} {
		if has[name] && s.Device != 0 {
			either = append(either, name+" IN "+idList(s.devices()))
		}
	}
	if macs := s.macs(); has["mac"] && !has["device"] && len(macs) > 0 {
		either = append(either, "mac IN "+idList(macs))
	}
	for _, name := range []string{"addr", "peer_addr"} {
		if has[name] && (s.ByAddress || !has["device"]) {
			for _, a := range s.Addresses {
				either = append(either, fmt.Sprintf("%s = toIPv6('%s')", name, a))
			}
		}
	}
	if len(either) == 0 {
		return ""
	}
	where := "(" + strings.Join(either, " OR ") + ")"
	if !s.From.IsZero() {
		where += fmt.Sprintf(" AND received >= '%s'", s.From.UTC().Format(time.DateOnly))
	}
	if !s.To.IsZero() {
		where += fmt.Sprintf(" AND received <= '%s'", s.To.UTC().Format(time.DateOnly))
	}
	return where
}

// idList writes ids of devices as an array.
func idList(ids []uint64) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.FormatUint(id, 10)
	}
	return "[" + strings.Join(text, ",") + "]"
}

// quoteList writes ids of alerts, which need no escaping, as an array.
func quoteList(ids []string) string {
	if len(ids) == 0 {
		return "[]"
	}
	return "['" + strings.Join(ids, "','") + "']"
}

// eraseDerived deletes what was derived of the subject's flows.
func eraseDerived(ctx context.Context, db *storage.DB, of subject) error {
	conditions, err := derived(ctx, db, of)
	if err != nil {
		return fmt.Errorf("erase what was derived: %w", err)
	}
	for table, where := range conditions {
		if err := db.Conn().Exec(ctx, fmt.Sprintf(eraseRowsSQL, table, where)); err != nil {
			return fmt.Errorf("erase rows of %s: %w", table, err)
		}
	}
	return nil
}
