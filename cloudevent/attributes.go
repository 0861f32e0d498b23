package cloudevent

import (
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/carillon/carillon/event"
)

// attributes gathers the context attributes of one event and everything that is wrong with them. prefix stands before
// an attribute's name where a fault is told.
type attributes struct {
	prefix string
	faults *faults
	values map[string]string
}

// put takes one attribute after checking what holds for each of them (CloudEvents, section 3).
func (a *attributes) put(name, value string) {
	field := a.prefix + name
	switch {
	case len(name) > MaxNameBytes:
		a.faults.add(a.prefix+name[:16]+"…", "has a name of %d bytes; at most %d are allowed", len(name), MaxNameBytes)
	case !validName(name):
		a.faults.add(field, "is no attribute's name: allowed are a-z 0-9")
	case name == "data":
		a.faults.add(field, "is not allowed as an attribute's name")
	case len(value) > MaxAttributeBytes:
		a.faults.add(field, "is %d bytes long; at most %d are allowed", len(value), MaxAttributeBytes)
	case !validText(value):
		a.faults.add(field, "has control characters or is not UTF-8")
	case len(a.values) >= MaxAttributes:
		if len(a.values) == MaxAttributes {
			a.faults.add(field, "is one attribute too many; at most %d are allowed", MaxAttributes)
		}
	default:
		if _, twice := a.values[name]; twice {
			a.faults.add(field, "is there twice")
			return
		}
		a.values[name] = value
	}
}

// finish checks what holds for the attributes that the specification names, and gives the event without its payload.
func (a *attributes) finish() Posted {
	if v, ok := a.values["specversion"]; !ok {
		a.require("specversion")
	} else if v != "1.0" {
		a.faults.add(a.prefix+"specversion", "must be 1.0")
	}
	for _, name := range []string{"id", "source", "type"} {
		if a.values[name] == "" {
			a.require(name)
		}
	}
	for _, name := range []string{"subject", "dataschema", "partitionkey"} {
		if v, ok := a.values[name]; ok && v == "" {
			a.faults.add(a.prefix+name, "must not be empty")
		}
	}
	for _, name := range []string{"source", "dataschema"} {
		if v := a.values[name]; v != "" && !validReference(v) {
			a.faults.add(a.prefix+name, "must be a URI or a reference to one (RFC 3986)")
		}
	}
	if v, ok := a.values["time"]; ok && new(time.Time).UnmarshalText([]byte(v)) != nil {
		a.faults.add(a.prefix+"time", "must be a time as in RFC 3339, such as 2026-11-22T18:46:22Z")
	}
	p := Posted{
		Attributes:   a.values,
		ContentType:  a.values["datacontenttype"],
		PartitionKey: a.values["partitionkey"],
	}
	for _, name := range []string{"specversion", "datacontenttype", "partitionkey"} {
		delete(a.values, name)
	}
	if v := a.values["traceparent"]; event.ValidTraceparent(v) {
		p.Traceparent = v
		delete(a.values, "traceparent")
	}
	return p
}

// require tells that an attribute is missing, unless its value was there and refused already.
func (a *attributes) require(name string) {
	field := a.prefix + name
	for _, f := range a.faults.fields {
		if f.Field == field {
			return
		}
	}
	a.faults.add(field, "is required")
}

func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// validText reports whether a value is Unicode text without control characters (CloudEvents, section 3.1, String).
// They would break the header that carries the value on.
func validText(value string) bool {
	for _, r := range value {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	return utf8.ValidString(value)
}

// validReference reports whether a text is a URI reference. Characters outside of ASCII are let through, as IRIs have
// them.
func validReference(s string) bool {
	_, err := url.Parse(s)
	return err == nil && !strings.ContainsAny(s, " <>\"{}|\\^`")
}
