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

// phraseOf returns a rationale that was written for one body as what it is for every body of its shape. general is the
// rationale of the template: a value that it has is not the body's, and then nothing can be told apart.
func phraseOf(rationale, general, body string, values []span) phrase {
	var found phrase
	for rest := rationale; ; {
		at, which := firstValue(rest, body, values)
		if which < 0 {
			if found.places == nil {
				return plain(rationale)
			}
			found.parts = append(found.parts, rest)
			return found
		}
		value := body[values[which].start:values[which].end]
		if strings.Contains(general, value) {
			return plain(general)
		}
		found.parts = append(found.parts, rest[:at])
		found.places = append(found.places, which)
		rest = rest[at+len(value):]
	}
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
		if i < len(p.places) {
			v := values[p.places[i]]
			out.WriteString(body[v.start:v.end])
		}
	}
	return out.String()
}
