package page

import (
	"fmt"
	"time"
)

// stamp formats a time for machines.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// moment formats a time for people. It names the zone, because the server does not know the
// reader's.
func moment(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// ago says how long before now t was, and from a week on the date. Days are those of UTC, as
// everywhere on the page.
func ago(now, t time.Time) string {
	const day = 24 * time.Hour
	passed := now.Sub(t)
	switch {
	case passed < -time.Minute: // clocks of two machines differ by less
		return moment(t)
	case passed < time.Minute:
		return "just now"
	case passed < time.Hour:
		return count(int(passed/time.Minute), "minute")
	case passed < day:
		return count(int(passed/time.Hour), "hour")
	}
	switch days := int(now.UTC().Truncate(day).Sub(t.UTC().Truncate(day)) / day); {
	case days == 1:
		return "yesterday"
	case days < 7:
		return count(days, "day")
	}
	return moment(t)
}

func count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit + " ago"
	}
	return fmt.Sprintf("%d %ss ago", n, unit)
}
