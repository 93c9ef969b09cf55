package cookie

import (
	"fmt"
	"regexp"
	"strings"
)

// Labels tell the cookies of two gateways apart that browsers reach under one host name, as on two
// ports: browsers send a cookie to every port of its host. The label is part of the name of every
// cookie of the gateway. Whatever their labels, a gateway hides the cookies of all gateways from its
// apps, and leaves those of others alone.

// labelMark stands before the label in the names of a gateway's own cookies. In the names of slots'
// cookies labelEnd stands after it. Neither is a character of labels and tags.
const (
	labelMark = "-"
	labelEnd  = "."
)

var label = regexp.MustCompile(`^[a-z0-9]{1,16}$`)

// Names are the names of a gateway's cookies. Nil stands for those without a label.
type Names struct{ host, domain, plain, slot string }

var unlabelled = Names{host: NameHost, domain: NameDomain, plain: NamePlain}

// Labelled returns the names with a label: up to 16 lower-case letters and digits. Without a label
// it returns nil.
func Labelled(text string) (*Names, error) {
	if text == "" {
		return nil, nil
	}
	if !label.MatchString(text) {
		return nil, fmt.Errorf("%q: must be 1 to 16 lower-case letters and digits", text)
	}
	mark := labelMark + text
	return &Names{host: NameHost + mark, domain: NameDomain + mark, plain: NamePlain + mark, slot: text + labelEnd}, nil
}

// orUnlabelled returns the names, or those without a label.
func (n *Names) orUnlabelled() *Names {
	if n == nil {
		return &unlabelled
	}
	return n
}

// SlotName returns the name that an upstream's cookie has in a slot of this gateway.
func (j Spec) SlotName(tag, name string) string {
	if label := j.names.orUnlabelled().slot; label != "" {
		tag = label + tag
	}
	return SlotName(tag, name)
}

// ParseSlotName is the reverse of Spec.SlotName. It is false for names that SlotName does not make,
// and for those of other gateways.
func (j Spec) ParseSlotName(slot string) (tag, name string, ok bool) {
	return parseSlotName(slot, j.names.orUnlabelled().slot)
}

// labelLength returns how long the label with its mark is at the beginning of what follows the name
// of a jar's cookie. It is zero if there is none.
func labelLength(rest string) int {
	if !strings.HasPrefix(rest, labelMark) {
		return 0
	}
	end := len(labelMark)
	for end < len(rest) && ('a' <= rest[end] && rest[end] <= 'z' || '0' <= rest[end] && rest[end] <= '9') {
		end++
	}
	return end
}
