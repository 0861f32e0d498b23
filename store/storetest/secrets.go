package storetest

var secretTests = []conformance{
	{"TokenSecret", testTokenSecret},
}

func testTokenSecret(h *harness) {
	secret := func() string {
		s, err := h.TokenSecret(h.ctx())
		h.check(err)
		return s.Reveal()
	}
	first := secret()
	if len(first) != 32 || first == string(make([]byte, 32)) {
		h.Errorf("it is %d bytes, or none", len(first))
	}
	h.reopen()
	if secret() != first {
		h.Error("it is another one after a restart")
	}
	other := newHarness(h.TB, h.open)
	if s, err := other.TokenSecret(other.ctx()); err != nil || s.Reveal() == first {
		h.Errorf("other data has the same one, %v", err)
	}
}
