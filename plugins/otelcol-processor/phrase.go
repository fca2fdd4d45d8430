// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import "strings"

// phrase is a text with places for the values of a body: parts[0], the value places[0], parts[1] and so on.
type phrase struct {
	parts  []string
	places []int
}

func plain(text string) phrase {
	if text == "" {
		return phrase{}
	}
	return phrase{parts: []string{text}}
}

// phraseOf returns a rationale that was written for one record as what it is for every record of its shape. general is the
// rationale of the template, which holds for all of them whatever their values. It is returned where it cannot be told for
// sure which value of the body each word of the rationale is.
func phraseOf(rationale, general string, record *wireRecord, values []span) phrase {
	if len(values) == 0 || rationale == general {
		return plain(rationale)
	}
	constant := constantText(record, values)
	var found phrase
	for rest := rationale; ; {
		at, which := firstValue(rest, record.Body, values)
		if which < 0 {
			found.parts = append(found.parts, rest)
			break
		}
		value := record.Body[values[which].start:values[which].end]
		end := at + len(value)
		within := (at > 0 && alphanumeric(rest[at-1])) || (end < len(rest) && alphanumeric(rest[end]))
		if within || strings.Contains(general, value) || strings.Contains(constant, value) || inLonger(value, record.Body, values) {
			return plain(general)
		}
		found.parts = append(found.parts, rest[:at])
		found.places = append(found.places, which)
		rest = rest[end:]
	}
	for _, part := range found.parts {
		if !hasWords(general+"\x00"+constant, part) {
			return plain(general)
		}
	}
	return found
}

// constantText is what records of one shape have in common, with a byte for each value.
func constantText(record *wireRecord, values []span) string {
	var out strings.Builder
	at := 0
	for _, v := range values {
		out.WriteString(record.Body[at:v.start])
		out.WriteByte(0)
		at = v.end
	}
	out.WriteString(record.Body[at:])
	for _, attribute := range record.Attributes {
		out.WriteByte(0)
		out.WriteString(textOf(attribute))
	}
	return out.String()
}

// inLonger reports whether a text is a part of a longer value.
func inLonger(text, body string, values []span) bool {
	for _, v := range values {
		if v.end-v.start > len(text) && strings.Contains(body[v.start:v.end], text) {
			return true
		}
	}
	return false
}

// hasWords reports whether all words of a part are in a text: one that is not is a piece of a value.
func hasWords(text, part string) bool {
	for at := 0; at < len(part); {
		if !alphanumeric(part[at]) {
			at++
			continue
		}
		end := wordEnd(part, at)
		if !strings.Contains(text, part[at:end]) {
			return false
		}
		at = end
	}
	return true
}

// firstValue finds the first value in a text, of several that begin there the longest; -1 if there is none.
func firstValue(text, body string, values []span) (at, which int) {
	at, which = len(text), -1
	for i, v := range values {
		place := strings.Index(text, body[v.start:v.end])
		if place < 0 || place > at {
			continue
		}
		if place < at || v.end-v.start > values[which].end-values[which].start {
			at, which = place, i
		}
	}
	return at, which
}

// with returns the text with the values of a body.
func (p *phrase) with(body string, values []span) string {
	if len(p.places) == 0 {
		if len(p.parts) == 0 {
			return ""
		}
		return p.parts[0]
	}
	var out strings.Builder
	for i, part := range p.parts {
		out.WriteString(part)
		if i < len(p.places) && p.places[i] < len(values) {
			v := values[p.places[i]]
			out.WriteString(body[v.start:v.end])
		}
	}
	return out.String()
}
