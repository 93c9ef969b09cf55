package caddymodule

// unmarshalIsolateCookies reads isolate_cookies, with on, off, or a block of what is left out.
func (h *Handler) unmarshalIsolateCookies(b *block) error {
	h.IsolateCookies = new(IsolateCookies)
	if err := unmarshalIsolation(b, &h.IsolateCookies.Off, "except", &h.IsolateCookies.Except); err != nil {
		return err
	}
	if err := h.IsolateCookies.validate(); err != nil {
		return b.WrapErr(err)
	}
	return nil
}

// unmarshalIsolateCache reads isolate_cache, with on, off, or a block of what is everybody's.
func (h *Handler) unmarshalIsolateCache(b *block) error {
	h.IsolateCache = new(IsolateCache)
	if err := unmarshalIsolation(b, &h.IsolateCache.Off, "public", &h.IsolateCache.Public); err != nil {
		return err
	}
	if err := h.IsolateCache.validate(); err != nil {
		return b.WrapErr(err)
	}
	return nil
}

// unmarshalIsolation reads on, off, or a block with the one option that says what is not kept apart.
func unmarshalIsolation(b *block, isOff *bool, option string, values *[]string) error {
	directive := b.Val()
	if err := b.once(); err != nil {
		return err
	}
	given := b.NextArg()
	if given {
		switch b.Val() {
		case "on":
		case off:
			*isOff = true
		default:
			return b.Errf("%s: %q is neither on nor off", directive, b.Val())
		}
		if err := b.noMore(); err != nil {
			return err
		}
	}
	options := &block{Dispenser: b.Dispenser}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch b.Val() {
		case option:
			*values, err = options.values()
		default:
			err = options.unknown()
		}
		if err != nil {
			return err
		}
	}
	if !given && *values == nil {
		return b.Errf("%s: takes on, off, or a block with %s", directive, option)
	}
	return nil
}
