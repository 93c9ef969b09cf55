package caddymodule

import (
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// block reads the options of a block. It refuses duplicate and unknown options, and surplus
// arguments. Its errors name the file and the line.
type block struct {
	*caddyfile.Dispenser
	seen map[string]bool
}

// once refuses a duplicate option. Options that may repeat do not call it.
func (b *block) once() error {
	name := b.Val()
	if b.seen[name] {
		return b.Errf("%s: is given twice", name)
	}
	if b.seen == nil {
		b.seen = make(map[string]bool)
	}
	b.seen[name] = true
	return nil
}

// unknown refuses an option that the block does not have.
func (b *block) unknown() error {
	if b.Val() == "{" {
		return b.Err("the option before takes no block")
	}
	return b.Errf("unrecognized option %q", b.Val())
}

// flag reads an option that takes no arguments and may not repeat.
func (b *block) flag() error {
	if err := b.once(); err != nil {
		return err
	}
	return b.noMore()
}

// value reads the only argument of an option that may not repeat.
func (b *block) value() (string, error) {
	if err := b.once(); err != nil {
		return "", err
	}
	return b.argument()
}

// values reads one or more arguments of an option that may not repeat.
func (b *block) values() ([]string, error) {
	if err := b.once(); err != nil {
		return nil, err
	}
	return b.arguments()
}

// argument reads the only argument of the option.
func (b *block) argument() (string, error) {
	name := b.Val()
	if !b.NextArg() {
		return "", b.Errf("%s: a value is missing", name)
	}
	value := b.Val()
	if value == "" {
		return "", b.Errf("%s: the value is empty", name)
	}
	return value, b.noMore()
}

// secret reads the only argument of an option that may not repeat. Its errors do not show any
// argument: a secret that should have been quoted comes as several.
func (b *block) secret() (string, error) {
	name := b.Val()
	values, err := b.values()
	if err != nil {
		return "", err
	}
	if len(values) > 1 {
		return "", b.Errf("%s: takes one value; quote it if it has spaces", name)
	}
	return values[0], nil
}

// turnedOff reads the word off, the only argument that the option takes.
func (b *block) turnedOff() (bool, error) {
	name := b.Val()
	text, err := b.value()
	if err == nil && text != off {
		err = b.Errf("%s: %q is not %s", name, text, off)
	}
	return err == nil, err
}

// arguments reads one or more arguments.
func (b *block) arguments() ([]string, error) {
	name := b.Val()
	values := b.RemainingArgs()
	if len(values) == 0 {
		return nil, b.Errf("%s: a value is missing", name)
	}
	if slices.Contains(values, "") {
		return nil, b.Errf("%s: a value is empty", name)
	}
	return values, nil
}

// noMore refuses a surplus argument.
func (b *block) noMore() error {
	if b.NextArg() {
		return b.Errf("surplus argument %q", b.Val())
	}
	return nil
}

// duration reads the value of an option as a positive duration with a unit, such as 30d.
func (b *block) duration(option, text string) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, b.Errf("%s: %q is not a duration such as 90s, 15m, 12h or 30d", option, text)
	}
	return caddy.Duration(d), nil
}

// count reads the value of an option as a positive whole number.
func (b *block) count(option, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, b.Errf("%s: %q is not a whole number from 1", option, text)
	}
	return n, nil
}

// off is what turns an option off.
const off = "off"

// never is a duration that stands for no limit.
const never = caddy.Duration(-time.Nanosecond)
