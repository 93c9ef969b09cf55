package caddymodule

// unmarshalIsolateCookies reads isolate_cookies, with on, off, or a block of what is left out.
func (h *Handler) unmarshalIsolateCookies(b *block) error {
	if err := b.once(); err != nil {
		return err
	}
	h.IsolateCookies = new(IsolateCookies)
	given := b.NextArg()
	if given {
		switch b.Val() {
		case "on":
		case off:
			h.IsolateCookies.Off = true
		default:
			return b.Errf("isolate_cookies: %q is neither on nor off", b.Val())
		}
		if err := b.noMore(); err != nil {
			return err
		}
	}
	options := &block{Dispenser: b.Dispenser}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch b.Val() {
		case "except":
			h.IsolateCookies.Except, err = options.values()
		default:
			err = options.unknown()
		}
		if err != nil {
			return err
		}
	}
	if !given && h.IsolateCookies.Except == nil {
		return b.Err("isolate_cookies: takes on, off, or a block with except")
	}
	if err := h.IsolateCookies.validate(); err != nil {
		return b.WrapErr(err)
	}
	return nil
}
