package anchor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultSettle is how long a running collector may take from writing the event
// of an alert to storing the alert, the rest of one scoring, or to committing it.
const defaultSettle = 20 * time.Second

// checkAlerts compares the table incidents, which no hash covers, with the events
// of the log. An event is sealed before its alert is stored, and may be in the
// database after it: what does not fit is looked at again for a while.
func (v *verification) checkAlerts(ctx context.Context) error {
	if v.partial() {
		return nil
	}
	deadline := time.Now().Add(v.Settle)
	for {
		faults, fresh, err := v.differingAlerts(ctx)
		if err != nil || len(faults) == 0 {
			return err
		}
		if !fresh || time.Now().After(deadline) {
			return v.accuseAlerts(faults)
		}
		select {
		case <-time.After(min(v.Settle, time.Second)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// accuseAlerts reports faults, but for alerts whose events may be in batches that
// a collector that was killed has left in the spool, or were erased before them.
func (v *verification) accuseAlerts(faults []Fault) error {
	var waiting []uint64
	if v.Sealed != nil {
		var err error
		if waiting, err = v.Sealed(); err != nil {
			return fmt.Errorf("list the spool: %w", err)
		}
	}
	open := uint64(0)
	for _, f := range faults {
		if f.Batch == nil && (len(waiting) > 0 || erasureStarted(v.Dir)) {
			open++
			continue
		}
		v.fault(f)
	}
	if open > 0 {
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s in the table incidents that the log does not tell of, unless in batches that wait in the spool, or of an erasure that has not ended; verify again when the collector has run", are(open, "alert")))
	}
	return nil
}

// differingAlerts also says whether a collector at work may yet change that.
func (v *verification) differingAlerts(ctx context.Context) (faults []Fault, fresh bool, err error) {
	rows, err := v.DB.Conn().Query(ctx, verifyAlerts, v.log)
	if schemaChanged(err) {
		return []Fault{{Kind: AlertAltered, Detail: fmt.Sprintf("the table incidents cannot be compared with the log: %v", err)}}, false, nil
	} else if err != nil {
		return nil, false, unreachable("compare alerts with the log", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var alert, fault, at string
		var batch uint64
		var pos uint32
		if err := rows.Scan(&alert, &fault, &batch, &pos, &at); err != nil {
			return nil, false, unreachable("compare alerts with the log", err)
		}
		told, _ := time.Parse(eventTime, at)
		f := Fault{Kind: AlertAltered, Batch: &batch, First: &pos, Last: &pos}
		switch fault {
		case "missing":
			f.Detail = fmt.Sprintf("the log tells of alert %s, the table incidents does not have it (a collector killed between the two stores it when it is started)", alert)
		case "added":
			f.Batch, f.First, f.Last = nil, nil, nil
			f.Detail = fmt.Sprintf("the table incidents has alert %s, of which the log does not tell", alert)
		default:
			f.Detail = fmt.Sprintf("the table incidents says other than the log of alert %s", alert)
		}
		faults = append(faults, f)
		fresh = fresh || fault == "added" || v.Now().Sub(told) < time.Minute
	}
	return faults, fresh, unreachable("compare alerts with the log", rows.Err())
}
