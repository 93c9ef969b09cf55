package cookie

// Load is how much room the cookies of a host take up in a browser, and how much there is.
type Load struct {
	Cookies, MaxCookies int
	Bytes, MaxBytes     int // of the Cookie header
}

// Near reports whether four fifths of the cookies, or three quarters of the bytes, are in use.
func (l Load) Near() bool {
	return l.MaxBytes > 0 && (l.Cookies*5 >= l.MaxCookies*4 || l.Bytes*4 >= l.MaxBytes*3)
}
