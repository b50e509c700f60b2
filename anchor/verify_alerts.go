package anchor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// defaultSettle is how long a running collector may take from writing the event
// of an alert to storing the alert, the rest of one scoring, or to committing it.
const defaultSettle = 20 * time.Second

// scoringTime is how long a collector may live after it wrote the event of an
// alert without having stored the alert.
const scoringTime = time.Minute

// checkAlerts compares the table incidents, which no hash covers, with the events
// of the log. An event is sealed before its alert is stored, and may be in the
// database after it: what does not fit is looked at again for a while.
func (v *verification) checkAlerts(ctx context.Context) error {
	if v.partial() {
		return nil
	}
	deadline := time.Now().Add(v.Settle)
	for {
		faults, pending, fresh, err := v.differingAlerts(ctx)
		if err != nil || len(faults)+pending == 0 {
			return err
		}
		if !fresh || time.Now().After(deadline) {
			if pending > 0 {
				v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s pending: in the log and not yet in the table incidents, as when a collector was killed between the two; it stores them when it is started", are(uint64(pending), "alert")))
			}
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

// differingAlerts also says how many more a collector stores when it goes on, and
// whether one at work may yet change what it found.
func (v *verification) differingAlerts(ctx context.Context) (faults []Fault, pending int, fresh bool, err error) {
	var scored uint64
	if err := v.DB.Conn().QueryRow(ctx, verifyScored, v.log).Scan(&scored); schemaChanged(err) {
		scored = math.MaxUint64
	} else if err != nil {
		return nil, 0, false, unreachable("read how far scoring came", err)
	}
	rows, err := v.DB.Conn().Query(ctx, verifyAlerts, v.log)
	if schemaChanged(err) {
		return []Fault{{Kind: AlertAltered, Detail: fmt.Sprintf("the table incidents cannot be compared with the log: %v", err)}}, 0, false, nil
	} else if err != nil {
		return nil, 0, false, unreachable("compare alerts with the log", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var alert, fault, at string
		var batch uint64
		var pos uint32
		if err := rows.Scan(&alert, &fault, &batch, &pos, &at); err != nil {
			return nil, 0, false, unreachable("compare alerts with the log", err)
		}
		told, _ := time.Parse(eventTime, at)
		fresh = fresh || fault == "added" || v.Now().Sub(told) < time.Minute
		if (fault == "missing" || fault == "behind") && batch > scored && !v.livedOn(batch) {
			pending++
			continue
		}
		f := Fault{Kind: AlertAltered, Batch: &batch, First: &pos, Last: &pos}
		switch fault {
		case "missing":
			f.Detail = fmt.Sprintf("the log tells of alert %s, the table incidents does not have it", alert)
		case "added":
			f.Batch, f.First, f.Last = nil, nil, nil
			f.Detail = fmt.Sprintf("the table incidents has alert %s, of which the log does not tell", alert)
		default:
			f.Detail = fmt.Sprintf("the table incidents says other than the log of alert %s", alert)
		}
		faults = append(faults, f)
	}
	return faults, pending, fresh, unreachable("compare alerts with the log", rows.Err())
}

// livedOn says whether the collector was at work for longer than scoringTime after
// it sealed batch: by the headers, which nobody can alter. An alert that it told
// of there was stored, whatever the table of what was scored may say.
func (v *verification) livedOn(batch uint64) bool {
	if batch >= v.size || v.size-batch > verifyWindow {
		return batch < v.size
	}
	slots, err := v.headerSlots(batch, v.size)
	if err != nil {
		return true
	}
	var lived time.Duration
	for i := range slots {
		if slots[i].err != nil {
			return true
		}
		if i > 0 && slots[i].h.Flags&Restart == 0 { // while no collector ran, none could store
			lived += timeBetween(slots[i-1].h.Sealed, slots[i].h.Sealed)
		}
	}
	return lived > scoringTime
}
