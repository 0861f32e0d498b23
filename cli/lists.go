package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// printList prints what a list of the gateway holds, all its pages, one item a line of JSON; at most so many of them, or all
// if most is 0.
func (c *client) printList(ctx context.Context, w io.Writer, path []string, query url.Values, most int) error {
	const pageSize = 500
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	for printed := 0; ; {
		size := pageSize
		if most > 0 {
			size = min(size, most-printed)
		}
		query.Set("limit", fmt.Sprint(size))
		answer, err := c.ask(ctx, http.MethodGet, path, query, nil)
		if err != nil {
			return err
		}
		var list struct {
			Data []json.RawMessage
			Next string
		}
		if err := json.Unmarshal(answer, &list); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		for _, item := range list.Data {
			if _, err := fmt.Fprintf(w, "%s\n", item); err != nil {
				return err
			}
		}
		printed += len(list.Data)
		if list.Next == "" || most > 0 && printed >= most {
			return nil
		}
		query.Set("page", list.Next)
	}
}
