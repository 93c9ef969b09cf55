package admin

import (
	"net/url"
	"slices"
	"strconv"
)

// query is the parameters of a request, each of which occurs once.
type query map[string]string

// parseQuery refuses unknown parameters: a selection that is missing because of a typing error
// could mean everybody.
func parseQuery(raw string, known []string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("query cannot be read: %v", err)
	}
	q := make(query, len(values))
	for name, all := range values {
		switch {
		case !slices.Contains(known, name):
			return nil, invalid("unknown query parameter %q", bounded(name))
		case len(all) > 1:
			return nil, invalid("query parameter %q is there twice", name)
		}
		q[name] = all[0]
	}
	return q, nil
}

// number returns a parameter that is a number from 1 to most, or absent if it is missing.
func (q query) number(name string, absent, most int) (int, error) {
	text, ok := q[name]
	if !ok {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, invalid("query parameter %q: must be a number from 1 to %d", name, most)
	}
	return n, nil
}
