package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestPlans asks SQLite how it goes about the statements that can meet a long log: along an index, and without sorting.
func TestPlans(t *testing.T) {
	e, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "carillon.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	indexes := map[string]string{
		"sweep":   "delivery_due",
		"backlog": "delivery_due (webhook=? AND line=? AND parked=?)",
		"dues":    "delivery_due (webhook=? AND line=? AND parked=?)",
		"parked":  "COVERING INDEX delivery_due (webhook=? AND line=? AND parked=?)",
		"waiting": "COVERING INDEX delivery_due (webhook=? AND line=?)",
		"head":    "delivery_order (webhook=? AND line=? AND order_key=?)",
		"replay":  "delivery_webhook (webhook=? AND cursor>? AND cursor<?)",
		"jobs":    "job_ended",
		"log":     "PRIMARY KEY",
		"purge":   "event_topic (topic=? AND cursor<?)",

		"audit":            "audit_tenant (tenant=? AND time>? AND time<?)",
		"audit of subject": "audit_subject (tenant=? AND subject=? AND time>? AND time<?)",
		"old audit":        "audit_age (time<?)",
		"remove audit":     "audit_age (time<?)",
	}
	for name, sql := range map[string]string{
		"tail":       `SELECT ` + eventColumns + eventTables + `WHERE e.cursor > ? ORDER BY e.cursor LIMIT ?`,
		"topic":      `SELECT cursor FROM event WHERE topic = ? AND cursor > ? ORDER BY cursor LIMIT ?`,
		"topic down": `SELECT cursor FROM event WHERE topic = ? AND cursor > ? AND cursor <= ? ORDER BY cursor DESC LIMIT ?`,
		"scan":       `SELECT cursor, tenant, topic FROM event WHERE cursor > ? ORDER BY cursor`,
		"all":        walkAll,
		"failed":     walkFailed,
		"of webhook": walkWebhook,
		"backlog":    backlogSQL,
		"dues":       duesSQL,
		"recorded":   recordedSQL,
		"sweep":      sweepSQL,
		"keys":       forgetKeysSQL,
		"expired":    expiredSQL,
		"parked":     parkedSQL,
		"head":       headSQL,
		"park":       parkSQL,
		"waiting":    waitingSQL,
		"replay":     replayWalk,
		"jobs":       forgetJobsSQL,
		"log":        logRowsSQL,
		"attempts":   attemptsSizeSQL,
		"log row":    deleteDeliverySQL,
		"log row 2":  deleteAttemptsSQL,
		"log size":   deliveriesSizeSQL,
		"log size 2": allAttemptsSQL,
		"purge":      purgeEventsSQL,
		"purge 2":    purgeSizeSQL,
		"purge 3":    purgeAttemptsSQL,
		"purge 4":    purges[0],
		"purge 5":    purges[1],
		"purge 6":    purges[2],
		"purge 7":    purges[3],
		"purge 8":    purges[4],

		"audit":            walkAudit,
		"audit of subject": walkAuditSubject,
		"old audit":        oldAuditSQL,
		"remove audit":     removeAuditSQL,
	} {
		s, _, err := e.writer.Prepare(`EXPLAIN QUERY PLAN ` + sql)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var plan []string
		for s.Step() {
			plan = append(plan, s.ColumnText(3))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			// Webhooks and tenants are few; keys are walked along their index.
			whole := strings.HasPrefix(step, "SCAN") && step != "SCAN w" && !strings.HasPrefix(step, "SCAN tenant") && !strings.Contains(step, "idempotency_age")
			if whole || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s\n\t%s", name, step, strings.Join(plan, "\n\t"))
			}
		}
		if index := indexes[name]; index != "" && !strings.Contains(strings.Join(plan, "\n"), index) {
			t.Errorf("%s does not go along %s:\n\t%s", name, index, strings.Join(plan, "\n\t"))
		}
	}
}
