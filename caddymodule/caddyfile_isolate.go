package caddymodule

// unmarshalIsolateCookies reads isolate_cookies, with on, off, or a block of exceptions.
func (h *Handler) unmarshalIsolateCookies(b *block) error {
	h.IsolateCookies = new(IsolateCookies)
	err := unmarshalIsolation(b, &h.IsolateCookies.Off, "except or scripted", func(options *block) (err error) {
		switch b.Val() {
		case "except":
			h.IsolateCookies.Except, err = options.values()
		case "scripted":
			h.IsolateCookies.Scripted, err = options.values()
		default:
			err = options.unknown()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := h.IsolateCookies.validate(); err != nil {
		return b.WrapErr(err)
	}
	return nil
}

// unmarshalIsolateCache reads isolate_cache, with on, off, or a block of exceptions.
func (h *Handler) unmarshalIsolateCache(b *block) error {
	h.IsolateCache = new(IsolateCache)
	err := unmarshalIsolation(b, &h.IsolateCache.Off, "public or keep_on_switch", func(options *block) (err error) {
		switch b.Val() {
		case "public":
			h.IsolateCache.Public, err = options.values()
		case "keep_on_switch":
			h.IsolateCache.KeepOnSwitch = true
			err = options.flag()
		default:
			err = options.unknown()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := h.IsolateCache.validate(); err != nil {
		return b.WrapErr(err)
	}
	return nil
}

// unmarshalIsolation reads on, off, or a block that is not empty. The function option reads one
// option of the block; known names them all, for errors.
func unmarshalIsolation(b *block, isOff *bool, known string, option func(*block) error) error {
	directive := b.Val()
	if err := b.once(); err != nil {
		return err
	}
	given := b.NextArg()
	if given {
		switch word := b.Val(); word {
		case "on":
		case off:
			*isOff = true
		default:
			return b.Errf("%s: %q is neither on nor off", directive, word)
		}
		if err := b.noMore(); err != nil {
			return err
		}
	}
	options := &block{Dispenser: b.Dispenser}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if err := option(options); err != nil {
			return err
		}
		given = true
	}
	if !given {
		return b.Errf("%s: takes on, off, or a block with %s", directive, known)
	}
	return nil
}
