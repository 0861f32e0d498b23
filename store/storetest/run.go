package storetest

import "testing"

// Run holds an engine to the contract of package store.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests []conformance
	}{
		{"Log", logTests},
		{"Idempotency", idempotencyTests},
		{"Replayed", replayedTests},
		{"Tail", tailTests},
		{"Webhooks", webhookTests},
		{"Keys", keyTests},
		{"Ledger", ledgerTests},
		{"Order", orderTests},
		{"Health", healthTests},
		{"Announcements", announceTests},
		{"DeliveryLists", listTests},
		{"Retention", retentionTests},
		{"DeliveryLog", deliveryLogTests},
		{"Jobs", jobTests},
		{"Audit", auditTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(newHarness(t, open)) })
			}
		})
	}
}

// conformance is one test of the suite.
type conformance struct {
	name string
	run  func(*harness)
}
