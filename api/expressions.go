package api

import (
	"github.com/carillon/carillon/event"
	"github.com/carillon/carillon/filter"
)

// setFilter takes a filter that compiles. The error of one that does not says where: line:column.
func setFilter(w *event.Webhook, m member) *event.FieldError {
	return setExpression(&w.Filter, m, "a CEL expression", func(source string) error {
		_, err := filter.Compile(source)
		return err
	})
}

// setTransform takes a transform that compiles.
func setTransform(w *event.Webhook, m member) *event.FieldError {
	return setExpression(&w.Transform, m, "a jq expression", func(source string) error {
		_, err := filter.CompileTransform(source)
		return err
	})
}

func setExpression(to *string, m member, want string, compile func(string) error) *event.FieldError {
	source := ""
	if err := setOr(&source, m, "", want+", as a text"); err != nil {
		return err
	}
	if !m.null() {
		if err := compile(source); err != nil {
			return &event.FieldError{Field: m.name, Detail: err.Error()}
		}
	}
	*to = source
	return nil
}
