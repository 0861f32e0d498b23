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
		{"Secrets", secretTests},
		{"Ledger", ledgerTests},
		{"Order", orderTests},
		{"Health", healthTests},
		{"Announcements", announceTests},
		{"DeliveryLists", listTests},
		{"Retention", retentionTests},
		{"DeliveryLog", deliveryLogTests},
		{"Jobs", jobTests},
		{"Tenants", tenantTests},
		{"Audit", auditTests},
	} {
		t.Run(group.name, func(t *testing.T) { runAll(t, open, group.tests) })
	}
}

// RunWebhooks holds an engine to the part of the contract that is about webhooks' settings, for what an engine does
// differently with those alone.
func RunWebhooks(t *testing.T, open Open) { runAll(t, open, webhookTests) }

func runAll(t *testing.T, open Open, tests []conformance) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(newHarness(t, open)) })
	}
}

// conformance is one test of the suite.
type conformance struct {
	name string
	run  func(*harness)
}
