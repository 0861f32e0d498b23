package cloudevent

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

var (
	structuredHeader = headers("Content-Type", MediaType)
	batchHeader      = headers("Content-Type", BatchMediaType+"; charset=UTF-8")
)

func TestModeOf(t *testing.T) {
	cases := []struct {
		contentType string
		ce          string
		want        Mode
	}{
		{"", "", None},
		{"application/json", "", None},
		{"application/json", "Ce-Specversion", Binary},
		{"", "Ce-Id", Binary},
		{"text/plain", "Ce-Time", None},
		{"application/cloudevents+json", "", Structured},
		{"Application/CloudEvents+JSON; charset=utf-8", "Ce-Id", Structured},
		{"application/cloudevents+avro", "", Structured},
		{"application/cloudevents", "", Structured},
		{"application/cloudevents-batch+json", "", Batched},
		{"application/cloudevents-BATCH+json ;charset=utf-8", "", Batched},
		{"application/cloudevents-batch", "", Batched},
		{"application/cloudeventsish+json", "", None},
		{"application/cloudevents+json; =", "", Structured},
	}
	for _, c := range cases {
		h := headers("Content-Type", c.contentType)
		if c.ce != "" {
			h.Set(c.ce, "x")
		}
		if got := ModeOf(h); got != c.want {
			t.Errorf("%q with %q: got %v, want %v", c.contentType, c.ce, got, c.want)
		}
	}
}

func TestParseStructured(t *testing.T) {
	const min = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	minimal := func(more ...string) map[string]string {
		m := map[string]string{"id": "1", "source": "/s", "type": "t"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	cases := map[string]struct {
		body string
		want Posted
	}{
		"nothing but what is required": {`{` + min + `}`, Posted{Attributes: minimal()}},
		"data byte for byte": {
			" {\n" + min + `, "data" :  {"a" : [1.50, "}\"]"]}  }` + "\n",
			Posted{Attributes: minimal(), ContentType: "application/json", Payload: []byte(`{"a" : [1.50, "}\"]"]}`)},
		},
		"string under JSON": {
			`{` + min + `,"datacontenttype":"application/vnd.x+json","data":"a\u00e9"}`,
			Posted{Attributes: minimal(), ContentType: "application/vnd.x+json", Payload: []byte(`"a\u00e9"`)},
		},
		"string under text": {
			`{"data":"a\u00e9\n\ud83d\ude00",` + min + `,"datacontenttype":"text/plain"}`,
			Posted{Attributes: minimal(), ContentType: "text/plain", Payload: []byte("aé\n😀")},
		},
		"object under text": {
			`{` + min + `,"datacontenttype":"text/plain","data":[1]}`,
			Posted{Attributes: minimal(), ContentType: "text/plain", Payload: []byte("[1]")},
		},
		"null data": {`{` + min + `,"data":null}`, Posted{Attributes: minimal(), ContentType: "application/json", Payload: []byte("null")}},
		"base64": {
			`{` + min + `,"datacontenttype":"image/png","data_base64":"iVBO\u0052w=="}`,
			Posted{Attributes: minimal(), ContentType: "image/png", Payload: []byte("\x89PNG")},
		},
		"all attributes": {
			`{` + min + `,"subject":"s","time":"2018-04-05T17:31:00.5+01:00","dataschema":"http://x/y#z","n":-0,"b":true,"s":"","gone":null,` +
				`"partitionkey":"k","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}`,
			Posted{
				Attributes:   minimal("subject", "s", "time", "2018-04-05T17:31:00.5+01:00", "dataschema", "http://x/y#z", "n", "0", "b", "true", "s", ""),
				PartitionKey: "k", Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			},
		},
		"traceparent of no known form": {
			`{` + min + `,"traceparent":"00-x"}`, Posted{Attributes: minimal("traceparent", "00-x")},
		},
		"long name": {
			`{` + min + `,"anameofmorethantwentycharacters":"x"}`, Posted{Attributes: minimal("anameofmorethantwentycharacters", "x")},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(Structured, structuredHeader, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			batch, err := Parse(Batched, batchHeader, []byte(" [ "+c.body+" , "+c.body+"] "))
			if err != nil {
				t.Fatal(err)
			}
			if len(batch) != 2 || !reflect.DeepEqual(batch[0], c.want) || !reflect.DeepEqual(batch[1], c.want) {
				t.Errorf("in a batch: got %+v", batch)
			}
		})
	}
}

func TestParseBinary(t *testing.T) {
	h := headers("Content-Type", "text/plain; charset=latin1", "ce-specversion", "1.0", "ce-id", "a%20%22b%25",
		"ce-source", `"/q\"x"`, "Ce-Type", "t", "ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-partitionkey", "k", "ce-n", "7")
	h.Set("ce-source", `"/q"`)
	body := []byte{0, 0xff}
	got, err := Parse(Binary, h, body)
	if err != nil {
		t.Fatal(err)
	}
	want := []Posted{{
		Attributes:   map[string]string{"id": `a "b%`, "source": "/q", "type": "t", "subject": "Euro € 😀", "n": "7"},
		ContentType:  "text/plain; charset=latin1",
		PartitionKey: "k", Payload: body,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// attributesOf makes n members of a JSON object.
func attributesOf(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestParseRefuses(t *testing.T) {
	const ok = `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	with := func(more string) string { return ok[:len(ok)-1] + "," + more + "}" }
	cases := map[string]struct {
		mode   Mode
		header http.Header
		body   string
		kind   string   // of the error
		fields []string // all that it names
	}{
		"nothing":              {Structured, structuredHeader, ``, "malformed", []string{"body"}},
		"cut":                  {Structured, structuredHeader, ok[:20], "malformed", []string{"body"}},
		"two values":           {Structured, structuredHeader, ok + ok, "malformed", []string{"body"}},
		"not UTF-8":            {Structured, structuredHeader, with("\"a\":\"\xff\""), "malformed", []string{"body"}},
		"array as one":         {Structured, structuredHeader, `[` + ok + `]`, "malformed", []string{"body"}},
		"one as batch":         {Batched, batchHeader, ok, "malformed", []string{"body"}},
		"deep":                 {Batched, batchHeader, strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "malformed", []string{"body"}},
		"charset":              {Structured, headers("Content-Type", MediaType+"; charset=latin1"), ok, "unsupported", []string{"Content-Type"}},
		"another format":       {Structured, headers("Content-Type", "application/cloudevents+xml"), ok, "unsupported", []string{"Content-Type"}},
		"batch as structured":  {Structured, batchHeader, ok, "unsupported", []string{"Content-Type"}},
		"empty":                {Structured, structuredHeader, `{}`, "", []string{"specversion", "id", "source", "type"}},
		"empty values":         {Structured, structuredHeader, `{"specversion":"","id":"","source":"","type":""}`, "", []string{"specversion", "id", "source", "type"}},
		"version":              {Structured, structuredHeader, strings.Replace(ok, "1.0", "0.3", 1), "", []string{"specversion"}},
		"number for id":        {Structured, structuredHeader, strings.Replace(ok, `"1"`, `1`, 1), "", []string{"id"}},
		"twice":                {Structured, structuredHeader, with(`"id":"2"`), "", []string{"id"}},
		"twice, escaped":       {Structured, structuredHeader, with(`"\u0069d":"2"`), "", []string{"id"}},
		"data twice":           {Structured, structuredHeader, with(`"data":1,"data":2`), "", []string{"data"}},
		"both data":            {Structured, structuredHeader, with(`"data":1,"data_base64":"AA=="`), "", []string{"data_base64"}},
		"bad base64":           {Structured, structuredHeader, with(`"data_base64":"A"`), "", []string{"data_base64"}},
		"base64 no string":     {Structured, structuredHeader, with(`"data_base64":1`), "", []string{"data_base64"}},
		"half a surrogate":     {Structured, structuredHeader, with(`"datacontenttype":"text/plain","data":"\ud800x"`), "", []string{"data"}},
		"attribute surrogate":  {Structured, structuredHeader, with(`"a":"\udc00\ud800"`), "", []string{"a"}},
		"capitals":             {Structured, structuredHeader, with(`"myExt":"x"`), "", []string{"myExt"}},
		"no name":              {Structured, structuredHeader, with(`"":"x"`), "", []string{""}},
		"object":               {Structured, structuredHeader, with(`"a":{}`), "", []string{"a"}},
		"fraction":             {Structured, structuredHeader, with(`"a":1.5`), "", []string{"a"}},
		"64 bits":              {Structured, structuredHeader, with(`"a":2147483648`), "", []string{"a"}},
		"time":                 {Structured, structuredHeader, with(`"time":"2026-11-22 18:46:22Z"`), "", []string{"time"}},
		"time without zone":    {Structured, structuredHeader, with(`"time":"2026-11-22T18:46:22"`), "", []string{"time"}},
		"schema":               {Structured, structuredHeader, with(`"dataschema":"a b"`), "", []string{"dataschema"}},
		"source":               {Structured, structuredHeader, strings.Replace(ok, "/s", "%zz", 1), "", []string{"source"}},
		"control":              {Structured, structuredHeader, with(`"subject":"a\nb"`), "", []string{"subject"}},
		"empty subject":        {Structured, structuredHeader, with(`"subject":""`), "", []string{"subject"}},
		"long value":           {Structured, structuredHeader, with(`"a":"` + strings.Repeat("x", MaxAttributeBytes+1) + `"`), "", []string{"a"}},
		"long name":            {Structured, structuredHeader, with(`"` + strings.Repeat("a", MaxNameBytes+1) + `":"x"`), "", []string{"aaaaaaaaaaaaaaaa…"}},
		"many attributes":      {Structured, structuredHeader, with(strings.TrimPrefix(attributesOf(61, `,"a%d":"x"`), ",")), "", []string{"a60"}},
		"in a batch":           {Batched, batchHeader, `[` + ok + `,1,` + strings.Replace(ok, "source", "sauce", 1) + `]`, "", []string{"[1]", "[2].source"}},
		"1001":                 {Batched, batchHeader, `[` + strings.Repeat("{},", MaxBatch) + `{}]`, "", []string{"body"}},
		"nothing binary":       {Binary, headers(), ``, "", []string{"ce-specversion", "ce-id", "ce-source", "ce-type"}},
		"bad percent":          {Binary, headers("ce-specversion", "1.0", "ce-id", "100%", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-id"}},
		"bad quotes":           {Binary, headers("ce-specversion", "1.0", "ce-id", `"a"b`, "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-id"}},
		"percent of no UTF-8":  {Binary, headers("ce-specversion", "1.0", "ce-id", "%ff", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-id"}},
		"newline":              {Binary, headers("ce-specversion", "1.0", "ce-id", "a%0Db", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-id"}},
		"header twice":         {Binary, headers("ce-specversion", "1.0", "ce-id", "1", "ce-id", "2", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-id"}},
		"two content types":    {Binary, headers("ce-specversion", "1.0", "ce-id", "1", "ce-datacontenttype", "a/b", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-datacontenttype"}},
		"hyphen":               {Binary, headers("ce-specversion", "1.0", "ce-id", "1", "ce-my-ext", "x", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-my-ext"}},
		"attribute named data": {Binary, headers("ce-specversion", "1.0", "ce-id", "1", "ce-data", "x", "ce-source", "/", "ce-type", "t"), ``, "", []string{"ce-data"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.mode, c.header, []byte(c.body))
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("got %v and %v", got, err)
			}
			kind := map[[2]bool]string{{true, false}: "malformed", {false, true}: "unsupported", {}: ""}[[2]bool{refused.Malformed, refused.Unsupported}]
			if kind != c.kind {
				t.Errorf("got %q, want %q: %v", kind, c.kind, err)
			}
			var fields []string
			for _, f := range refused.Fields {
				fields = append(fields, f.Field)
				if f.Detail == "" {
					t.Errorf("%s has no detail", f.Field)
				}
			}
			if !reflect.DeepEqual(fields, c.fields) {
				t.Errorf("got %q, want %q", fields, c.fields)
			}
		})
	}
}

func TestParseBounds(t *testing.T) {
	const ok = `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`
	got, err := Parse(Batched, batchHeader, []byte(`[]`))
	if err != nil || got == nil || len(got) != 0 {
		t.Errorf("empty batch: got %v, %v", got, err)
	}
	got, err = Parse(Batched, batchHeader, []byte(`[`+strings.Repeat(ok+",", MaxBatch-1)+ok+`]`))
	if err != nil || len(got) != MaxBatch {
		t.Errorf("full batch: got %d, %v", len(got), err)
	}
	if _, err = Parse(Structured, structuredHeader, []byte(ok[:len(ok)-1]+attributesOf(60, `,"a%d":"x"`)+`}`)); err != nil {
		t.Errorf("64 attributes: %v", err)
	}
	_, err = Parse(Batched, batchHeader, []byte(`[`+strings.Repeat("{},", MaxBatch-1)+`{}]`))
	var refused *Error
	if !errors.As(err, &refused) || len(refused.Fields) != maxFields {
		t.Errorf("a thousand faulty events: %v", err)
	}
}
