package stream_test

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"
)

// parser reads an event stream as WHATWG HTML, section 9.2.6 says that a client does.
type parser struct {
	r      *bufio.Reader
	begun  bool
	skipLF bool

	lastID   string // what the client would send as Last-Event-ID
	retry    string
	comments int
}

// block is what stood before one blank line.
type block struct {
	id         string // the last event id after this block
	name, data string
	dispatched bool // the client's page sees it
}

func newParser(r io.Reader) *parser { return &parser{r: bufio.NewReader(r)} }

// line returns one line without its end. It never waits for what follows a CR.
func (p *parser) line() (string, error) {
	var b strings.Builder
	for {
		c, err := p.r.ReadByte()
		if err != nil {
			return "", err
		}
		if p.skipLF {
			p.skipLF = false
			if c == '\n' {
				continue
			}
		}
		if c == '\r' || c == '\n' {
			p.skipLF = c == '\r'
			break
		}
		b.WriteByte(c)
	}
	line := strings.ToValidUTF8(b.String(), string(utf8.RuneError))
	if !p.begun {
		p.begun = true
		line = strings.TrimPrefix(line, "\ufeff")
	}
	return line, nil
}

// block returns what stands before the next blank line; an unfinished one at the end is dropped.
func (p *parser) block() (block, error) {
	var name, data strings.Builder
	for {
		line, err := p.line()
		if err != nil {
			return block{}, err
		}
		if line == "" {
			b := block{id: p.lastID, name: "message"}
			if data.Len() == 0 {
				return b, nil
			}
			b.dispatched = true
			b.data = strings.TrimSuffix(data.String(), "\n")
			if name.Len() > 0 {
				b.name = name.String()
			}
			return b, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			p.comments++
		case "event":
			name.Reset()
			name.WriteString(value)
		case "data":
			data.WriteString(value)
			data.WriteByte('\n')
		case "id":
			if !strings.ContainsRune(value, 0) {
				p.lastID = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				p.retry = value
			}
		}
	}
}

// next returns the next block that a page would see.
func (p *parser) next() (block, error) {
	for {
		b, err := p.block()
		if err != nil || b.dispatched {
			return b, err
		}
	}
}
