package api

// validTraceparent reports whether s is a traceparent (W3C Trace Context, section 3.2): version, trace-id, parent-id and
// flags in lower-case hex. What a version after 00 puts behind them is let through.
func validTraceparent(s string) bool {
	const (
		version, trace, parent, end = 0, 3, 36, 55
		noTrace                     = "00000000000000000000000000000000"
		noParent                    = "0000000000000000"
	)
	if len(s) < end || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	if !lowerHex(s[version:2]) || !lowerHex(s[trace:35]) || !lowerHex(s[parent:52]) || !lowerHex(s[53:end]) {
		return false
	}
	if s[:2] == "ff" || s[trace:35] == noTrace || s[parent:52] == noParent {
		return false
	}
	return len(s) == end || s[:2] != "00" && s[end] == '-' && len(s) <= 255
}

func lowerHex(s string) bool {
	return all(s, func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' })
}
