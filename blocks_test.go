package main

import (
	"bufio"
	"io"
	"strings"
)

// block is one block of an SSE stream (WHATWG HTML, section 9.2).
type block struct {
	id, event, data string
	hasData         bool
}

type blockReader struct{ lines *bufio.Reader }

func newBlockReader(r io.Reader) *blockReader { return &blockReader{bufio.NewReader(r)} }

// next returns the next whole block. The gateway ends lines with LF only, so that is all this reader knows.
func (r *blockReader) next() (block, error) {
	var b block
	var data []string
	for {
		line, err := r.lines.ReadString('\n')
		if err != nil {
			return block{}, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			b.data = strings.Join(data, "\n")
			return b, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			b.id = value
		case "event":
			b.event = value
		case "data":
			b.hasData = true
			data = append(data, value)
		}
	}
}
