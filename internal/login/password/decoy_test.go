package password

import (
	"fmt"
	"testing"
)

// mixed are decoys of users whose hashes can be told apart by what they cost: user i's has a memory
// of 8+i KiB.
func mixed(t *testing.T, users ...int) decoys {
	var d decoys
	for _, i := range users {
		text := cheapArgon2id(t, fmt.Sprint("password of ", i), uint32(8+i))
		d = append(d, newDecoy(text, mustParse(t, text)))
	}
	return d
}

func picks(d decoys, names int) []string {
	picked := make([]string, names)
	for i := range picked {
		picked[i] = work(d.pick(fmt.Sprint("name", i)))
	}
	return picked
}

func TestDecoysAreSharedOut(t *testing.T) {
	count := make(map[string]int)
	for _, w := range picks(mixed(t, 0, 1, 2, 3), 4000) {
		count[w]++
	}
	for w, n := range count {
		if n < 800 || n > 1200 { // 7 standard deviations
			t.Errorf("%s stands in for %d of 4000 names, want about 1000", w, n)
		}
	}
	if len(count) != 4 {
		t.Errorf("%d of 4 decoys are used", len(count))
	}
}

func TestAttackWatchANameOverRestarts(t *testing.T) {
	before := picks(mixed(t, 0, 1, 2), 1000)
	for i, after := range picks(mixed(t, 2, 1, 0), 1000) { // another order is the same users
		if after != before[i] {
			t.Fatalf("name%d costs %s after a restart, and cost %s", i, after, before[i])
		}
	}
}

func TestAttackWatchANameOverReloads(t *testing.T) {
	before := picks(mixed(t, 0, 1, 2), 1000)
	added := work(mixed(t, 3)[0].hash)
	changed := 0
	for i, after := range picks(mixed(t, 0, 1, 2, 3), 1000) {
		if after == before[i] {
			continue
		}
		changed++
		if after != added {
			t.Errorf("name%d went from %s to %s, neither of which is the user who was added", i, before[i], after)
		}
	}
	if changed == 0 || changed > 400 {
		t.Errorf("%d of 1000 names changed, want about a quarter", changed)
	}
}
