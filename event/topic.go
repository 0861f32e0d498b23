package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a topic's and a pattern's name.
const (
	MaxTopicBytes  = 255
	MaxTopicTokens = 16
)

// Topic is a name of dot-separated tokens of A-Z a-z 0-9 _ -, such as orders.eu.created.
type Topic string

// ParseTopic checks a topic's name. The error's text is meant for the one who sent it.
func ParseTopic(s string) (Topic, error) {
	if err := checkTokens(s, false); err != nil {
		return "", err
	}
	return Topic(s), nil
}

// Reserved reports whether the topic is the gateway's own: its first token begins with an underscore. Only the gateway
// publishes there.
func (t Topic) Reserved() bool { return strings.HasPrefix(string(t), "_") }

// Pattern is a topic in which a token may be * (exactly one token) and the last one may be ** (one or more tokens). A
// wildcard in the first place never matches a reserved topic.
type Pattern string

// ParsePattern checks a pattern. The error's text is meant for the one who sent it.
func ParsePattern(s string) (Pattern, error) {
	if err := checkTokens(s, true); err != nil {
		return "", err
	}
	return Pattern(s), nil
}

// Literal reports whether the pattern has no wildcard, and so is a topic.
func (p Pattern) Literal() bool { return !strings.Contains(string(p), "*") }

// Match reports whether the topic is one of the pattern's.
func (p Pattern) Match(t Topic) bool {
	if t.Reserved() && strings.HasPrefix(string(p), "*") {
		return false
	}
	pattern, topic := string(p), string(t)
	for {
		token, morePattern, patternGoesOn := strings.Cut(pattern, ".")
		if token == "**" {
			return true
		}
		name, moreTopic, topicGoesOn := strings.Cut(topic, ".")
		if token != "*" && token != name {
			return false
		}
		if !patternGoesOn || !topicGoesOn {
			return patternGoesOn == topicGoesOn
		}
		pattern, topic = morePattern, moreTopic
	}
}

// Covers reports whether every topic that other matches is one of p's. How long a topic may be is not looked at.
func (p Pattern) Covers(other Pattern) bool {
	// A wildcard in the first place stands for fewer topics than one behind it.
	if strings.HasPrefix(string(p), "*") && Topic(other).Reserved() {
		return false
	}
	wide, narrow := string(p), string(other)
	for {
		token, moreWide, wideGoesOn := strings.Cut(wide, ".")
		if token == "**" {
			return true
		}
		name, moreNarrow, narrowGoesOn := strings.Cut(narrow, ".")
		if name == "**" || token != "*" && token != name {
			return false
		}
		if !wideGoesOn || !narrowGoesOn {
			return wideGoesOn == narrowGoesOn
		}
		wide, narrow = moreWide, moreNarrow
	}
}

// CoverAny reports whether one of the patterns covers other. Patterns that cover it only together do not count.
func CoverAny(patterns []Pattern, other Pattern) bool {
	for _, p := range patterns {
		if p.Covers(other) {
			return true
		}
	}
	return false
}

// MatchAny reports whether any of the patterns matches the topic.
func MatchAny(patterns []Pattern, t Topic) bool {
	for _, p := range patterns {
		if p.Match(t) {
			return true
		}
	}
	return false
}

func checkTokens(s string, wildcards bool) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	if len(s) > MaxTopicBytes {
		return fmt.Errorf("is %d bytes long; at most %d are allowed", len(s), MaxTopicBytes)
	}
	count := strings.Count(s, ".") + 1
	if count > MaxTopicTokens {
		return fmt.Errorf("has %d tokens; at most %d are allowed", count, MaxTopicTokens)
	}
	place := 0
	for token := range strings.SplitSeq(s, ".") {
		place++
		switch {
		case token == "":
			return fmt.Errorf("token %d is empty", place)
		case wildcards && token == "*":
			continue
		case wildcards && token == "**":
			if place != count {
				return errors.New("** may only be the last token")
			}
			continue
		}
		for i := range len(token) {
			if !tokenByte(token[i]) {
				return tokenError(token, i, place, wildcards)
			}
		}
	}
	return nil
}

func tokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

func tokenError(token string, at, place int, wildcards bool) error {
	if token[at] == '*' {
		if wildcards {
			return fmt.Errorf("token %d mixes a wildcard with other characters", place)
		}
		return fmt.Errorf("token %d has a wildcard; a topic names one place, a pattern may name many", place)
	}
	r, _ := utf8.DecodeRuneInString(token[at:])
	return fmt.Errorf("token %d has %q; allowed are A-Z a-z 0-9 _ -", place, r)
}
