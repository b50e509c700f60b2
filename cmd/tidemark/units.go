package main

import (
	"fmt"
	"strings"
	"time"
)

// count writes n with thousands separators.
func count[N ~int | ~int64 | ~uint64 | ~uint32](n N) string {
	s := fmt.Sprint(n)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(s) - 3; i > first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes n things; noun is one of them.
func plural[N ~int | ~int64 | ~uint64 | ~uint32](n N, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "ch"):
		noun += "es"
	default:
		noun += "s"
	}
	return count(n) + " " + noun
}

// rate writes what comes per second.
func rate(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return count(int64(v + 0.5))
}

// octets writes n with a decimal unit and three digits.
func octets[N ~int64 | ~uint64 | ~float64](n N) string {
	v, units := float64(n), []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 || v >= 99.95 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// percent writes a share; a share that is not zero never reads as zero.
func percent(part, whole uint64) string {
	switch {
	case whole == 0:
		return "-"
	case part == 0:
		return "0 %"
	}
	p := 100 * float64(part) / float64(whole)
	if p < 0.01 {
		return "<0.01 %"
	}
	return fmt.Sprintf("%.2f %%", p)
}

// ago writes a span since then in its two largest units.
func ago(now, then time.Time) string {
	if then.IsZero() || then.Unix() <= 0 {
		return "never"
	}
	return span(now.Sub(then)) + " ago"
}

func span(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// instant writes a time for programs; "" if it is not known.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// stamp writes a time to the second in UTC.
func stamp(t time.Time) string {
	if t.IsZero() || t.Unix() <= 0 {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
