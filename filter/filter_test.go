package filter

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/carillon/carillon/event"
)

const order = `{
	"amount": 150, "price": 12.5, "exact": 100.0, "id": 9007199254740993, "huge": 12345678901234567890, "neg": -3,
	"vast": 1e999, "tags": ["x", "y"], "customer": {"country": "DE", "name": "Ann"}, "nothing": null,
	"items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}], "blob": "2026-03-01T10:00:00Z"}`

func orderEvent() *event.Event {
	return &event.Event{
		Topic: "orders.created", Time: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC), Payload: []byte(order),
		Attributes: map[string]string{"type": "com.example.order", "tenant": "a", "source": "/shop"},
	}
}

func match(t *testing.T, source string, ev *event.Event) (bool, error) {
	t.Helper()
	f, err := Compile(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return f.Match(NewInput(ev, time.Date(2026, 5, 5, 0, 0, 0, 0, time.UTC)))
}

func TestWhatFiltersSay(t *testing.T) {
	for source, want := range map[string]bool{
		`data.amount > 100 && topic.startsWith("orders.")`:                  true,
		`attributes["tenant"] == "a"`:                                       true,
		`attributes.tenant == "b"`:                                          false,
		`"tenant" in attributes && !("subject" in attributes)`:              true,
		`"x" in data.tags`:                                                  true,
		`"z" in data.tags`:                                                  false,
		`has(data.customer) && data.customer.country in ["DE","FR"]`:        true,
		`has(data.customer.age)`:                                            false,
		`time > timestamp("2026-01-01T00:00:00Z")`:                          true,
		`time.getHours() < 12`:                                              true,
		`time.getHours("Asia/Tokyo") == 19`:                                 true,
		`time - timestamp(data.blob) == duration("30m")`:                    true,
		`data.items.exists(i, i.sku == "a")`:                                true,
		`data.items.all(i, i.n > 1)`:                                        false,
		`data.items.filter(i, i.n > 1).map(i, i.sku) == ["b"]`:              true,
		`data.items.exists_one(i, i.n == 2)`:                                true,
		`type == "com.example.order"`:                                       true,
		`topic.matches("^orders\\.(created|paid)$")`:                        true,
		`data.customer.name.matches("^B")`:                                  false,
		`data.customer.name.lowerAscii() == "ann"`:                          true,
		`data.customer.name.upperAscii() + " x ".trim() == "ANNx"`:          true,
		`data.nothing == null`:                                              true,
		`data == null`:                                                      false,
		`data.customer == {"country": "DE", "name": "Ann"}`:                 true,
		`data.tags != data.items`:                                           true,
		`data.tags == ["x", "y"] && size(data.items) == 2`:                  true,
		`data.amount == 150 && data.amount == 150.0`:                        true,
		`data.amount < 150.5 && data.amount > 149.5 && data.amount <= 150u`: true,
		`data.exact == 100 && data.exact >= 100 && data.exact in [100]`:     true,
		`data.price > 12 && data.price < 13`:                                true,
		`data.neg < 0 && data.neg + 3 == 0`:                                 true,
		`data.id == 9007199254740993 && data.id != 9007199254740992`:        true,
		`data.huge > 12345678901234500000.0 && data.huge > 100`:             true,
		`double(data.amount) * 1.5 == 225.0`:                                true,
		`data.missing == 1 || data.amount == 150`:                           true,
		`data.amount == 150 ? true : data.missing`:                          true,
		`dyn(data.items[0].sku == "a")`:                                     true,
	} {
		if got, err := match(t, source, orderEvent()); got != want || err != nil {
			t.Errorf("%s says %t, want %t: %v", source, got, want, err)
		}
	}
}

func TestWhatFiltersFailOn(t *testing.T) {
	for source, want := range map[string]string{
		`data.missing > 1`:                          "no such key: missing",
		`attributes["subject"] == "x"`:              "no such key: subject",
		`data.customer.name > 1`:                    "no such overload",
		`data.amount * 1.5 > 1.0`:                   "no such overload",
		`data.items[7].n == 1`:                      "index out of bounds",
		`data.amount`:                               "int; it has to be bool",
		`data.customer.name`:                        "string; it has to be bool",
		`data.amount / 0 == 1`:                      "division by zero",
		`data.vast > 1`:                             "",
		`topic.matches(data.tags[0] + "(")`:         "missing closing )",
		`topic.matches("(a{100}){9}b{1000}c{200}")`: "too large",
	} {
		matched, err := match(t, source, orderEvent())
		if matched || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s says %t, %v; want an error with %q", source, matched, err, want)
		} else if len(err.Error()) > maxDetail+8 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: not a short line: %q", source, err)
		}
	}
}

func TestFilterOfOtherEvents(t *testing.T) {
	for source, want := range map[string]bool{
		`data == null`:                              true,
		`type == "t" && type == topic`:              true,
		`attributes == {}`:                          true,
		`size(attributes) == 0`:                     true,
		`time == timestamp("2026-05-05T00:00:00Z")`: true,
	} {
		if got, err := match(t, source, &event.Event{Topic: "t", Payload: []byte("not JSON")}); got != want || err != nil {
			t.Errorf("%s says %t, want %t: %v", source, got, want, err)
		}
	}
}

func TestPayloads(t *testing.T) {
	for payload, null := range map[string]bool{
		``: true, `{`: true, `{} {}`: true, `{}x`: true, `nan`: true, `01`: true, "\xff": true, `'a'`: true,
		`1`: false, ` [] `: false, `"x"`: false, `false`: false, `{"a":1,"a":2}`: false, `1e999`: false,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth):     false,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): true,
		strings.Repeat("[", 1<<20):                                        true,
		`"` + strings.Repeat("[", 1000) + strings.Repeat("1", 2000) + `"`: false,
		strings.Repeat("9", maxNumber):                                    false,
		strings.Repeat("9", maxNumber+1):                                  true,
	} {
		in := NewInput(&event.Event{Payload: []byte(payload)}, time.Time{})
		if got := in.payload() == nil; got != null {
			t.Errorf("%.40q is null: %t, want %t", payload, got, null)
		}
	}
	if got, err := match(t, `data.a == 2`, &event.Event{Payload: []byte(`{"a":1,"a":2}`)}); !got || err != nil {
		t.Errorf("the last member of a name does not count: %v", err)
	}
}

func TestFilterSyntaxErrors(t *testing.T) {
	for source, want := range map[string]string{
		`dta.amount > 1`:                    "1:1: undeclared reference to 'dta'",
		"topic == \"é\" &&\n  topic == dta": "2:12: undeclared reference to 'dta'",
		`"é" + dta == "x"`:                  "1:7: undeclared reference to 'dta'",
		`1 +`:                               "1:4: mismatched input end of the expression",
		`topic`:                             "1:1: the expression is of type string; it has to be bool",
		`topic > 1`:                         "1:7: found no matching overload for '_>_' applied to '(string, int)'",
		`topic.replace("a", "b") == ""`:     "1:14: undeclared reference to 'replace'",
		``:                                  "1:1: the expression is empty",
		" \n":                               "1:1: the expression is empty",
		"true\xff":                          "1:5: the expression is not UTF-8",
		`@comparable(topic) == "x"`:         "1:1: ",
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100): "1:1: expression recursion limit exceeded",
		"true" + strings.Repeat(" ", event.MaxFilterBytes):           "1:4097: the expression is 4100 bytes long",
	} {
		_, err := Compile(source)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", source, err, want)
		} else if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), comparable) {
			t.Errorf("%.60q: not fit for a client: %v", source, err)
		}
	}
}

func TestFilterIsSharedByInputs(t *testing.T) {
	f, err := Compile(`data.items.exists(i, i.sku == "b") && topic.matches("^orders")`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if ok, err := f.Match(NewInput(orderEvent(), time.Time{})); !ok || err != nil {
					t.Errorf("%t, %v", ok, err)
				}
			}
		})
	}
	wg.Wait()
}
