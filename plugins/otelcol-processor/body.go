// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

const (
	// The service makes the template of a body from its first 65,536 characters; the rest changes nothing.
	maxCharacters = 65_536

	// The service passes over names of programs that are longer.
	maxNameBytes = 80

	maxSeverityBytes = 32
)

// messageKeys are the keys under which a body that is a map has its message, the first of them that has one.
var messageKeys = []string{
	"message", "msg", "body", "log", "event", "text", "short_message", "Message", "MESSAGE", "@message", "@m", "Body",
}

// attributeKind says what the service uses an attribute for.
type attributeKind int

const (
	unused attributeKind = iota
	causing
	naming
)

// attributeKinds has the attributes that the service reads: an exception's complete the body, the names of programs help
// to choose the reason. Others are not sent.
var attributeKinds = func() map[string]attributeKind {
	kinds := map[string]attributeKind{}
	for _, key := range []string{
		"err", "error", "error.message", "error_message", "exception", "exception.message", "exc_info", "stack",
		"stack_trace", "stacktrace", "error.stack_trace", "exception.stacktrace", "errorVerbose",
	} {
		kinds[key] = causing
	}
	for _, key := range []string{
		"program", "appname", "app", "ident", "tag", "service", "service.name", "process", "process.name",
		"process.executable.name", "SYSLOG_IDENTIFIER", "_COMM", "unit", "_SYSTEMD_UNIT", "container", "container.name",
		"k8s.container.name", "component", "logger",
	} {
		kinds[key] = naming
	}
	return kinds
}()

// pair is an attribute that the service reads.
type pair struct {
	key, value string
	isJSON     bool // the value is the JSON of an object
}

// input is what is sent of a record, but for the names that its resource has for the program.
type input struct {
	body       string
	severity   string
	attributes []pair // the resource's are not among them
}

// readRecord reads what is sent of a record.
func readRecord(record plog.LogRecord) input {
	var found input
	found.severity = severityOf(record)
	record.Attributes().Range(func(key string, value pcommon.Value) bool {
		found.attributes = appendUsed(found.attributes, key, value)
		return true
	})
	found.body, found.attributes = bodyOf(record.Body(), found.attributes)
	return found
}

func appendUsed(attributes []pair, key string, value pcommon.Value) []pair {
	kind := attributeKinds[key]
	switch {
	case kind == causing && value.Type() == pcommon.ValueTypeMap:
		if object, ok := errorObject(value.Map()); ok {
			return append(attributes, pair{key, object, true})
		}
	case kind != unused && value.Type() == pcommon.ValueTypeStr:
		if text := value.Str(); text != "" && (kind != naming || len(text) < maxNameBytes) {
			return append(attributes, pair{key, cut(text), false})
		}
	}
	return attributes
}

// errorObject returns an error that a logger wrote as an object as JSON. Of a large one it is what the service reads.
func errorObject(object pcommon.Map) (string, bool) {
	raw := object.AsRaw()
	encoded, err := json.Marshal(raw)
	if err != nil || len(encoded) > maxCharacters {
		known := map[string]string{}
		for _, key := range []string{"type", "name", "message", "msg", "stack", "stack_trace"} {
			if text, ok := raw[key].(string); ok {
				known[key] = cut(text)
			}
		}
		if len(known) == 0 {
			return "", false
		}
		encoded, err = json.Marshal(known)
	}
	return string(encoded), err == nil
}

// bodyOf returns a body as text. Of a map it is the message, if there is one, and its exception joins the attributes.
func bodyOf(body pcommon.Value, attributes []pair) (string, []pair) {
	switch body.Type() {
	case pcommon.ValueTypeStr:
		return cut(body.Str()), attributes
	case pcommon.ValueTypeMap:
		for _, key := range messageKeys {
			if message, ok := body.Map().Get(key); ok && message.Type() == pcommon.ValueTypeStr && message.Str() != "" {
				body.Map().Range(func(key string, value pcommon.Value) bool {
					if attributeKinds[key] == causing {
						attributes = appendUsed(attributes, key, value)
					}
					return true
				})
				return cut(message.Str()), attributes
			}
		}
	}
	return cut(body.AsString()), attributes
}

// severityOf returns the short name of a severity; what a text means is left to the service.
func severityOf(record plog.LogRecord) string {
	number := record.SeverityNumber()
	switch {
	case number < plog.SeverityNumberTrace || number > plog.SeverityNumberFatal4:
		if text := record.SeverityText(); len(text) <= maxSeverityBytes {
			return text
		}
		return ""
	case number < plog.SeverityNumberDebug:
		return "TRACE"
	case number < plog.SeverityNumberInfo:
		return "DEBUG"
	case number < plog.SeverityNumberWarn:
		return "INFO"
	case number < plog.SeverityNumberError:
		return "WARN"
	case number < plog.SeverityNumberFatal:
		return "ERROR"
	default:
		return "FATAL"
	}
}

// cut returns at most the first maxCharacters characters.
func cut(text string) string {
	if len(text) <= maxCharacters {
		return text
	}
	if utf8.RuneCountInString(text) <= maxCharacters {
		return text
	}
	count := 0
	for at := range text {
		if count == maxCharacters {
			return text[:at]
		}
		count++
	}
	return text
}

// namesOf returns the names that a resource has for the program.
func namesOf(resource pcommon.Resource) []pair {
	var names []pair
	resource.Attributes().Range(func(key string, value pcommon.Value) bool {
		if attributeKinds[key] == naming {
			names = appendUsed(names, key, value)
		}
		return true
	})
	return names
}

// wire returns what is sent, with the names of the resource. It is free from the memory of the batch.
func (s *input) wire(names []pair) wireRecord {
	record := wireRecord{Body: strings.Clone(s.body), Severity: strings.Clone(s.severity)}
	if len(names)+len(s.attributes) == 0 {
		return record
	}
	record.Attributes = map[string]any{}
	for _, attributes := range [][]pair{names, s.attributes} {
		for _, a := range attributes {
			if a.isJSON {
				record.Attributes[strings.Clone(a.key)] = json.RawMessage(a.value)
			} else {
				record.Attributes[strings.Clone(a.key)] = strings.Clone(a.value)
			}
		}
	}
	return record
}

func (s *input) size() int {
	return len(s.body) + len(s.severity) + sizeOf(s.attributes)
}

func sizeOf(attributes []pair) int {
	size := 0
	for _, a := range attributes {
		size += len(a.key) + len(a.value)
	}
	return size
}

// textOf returns the text of an attribute of a wireRecord.
func textOf(attribute any) string {
	if raw, ok := attribute.(json.RawMessage); ok {
		return string(raw)
	}
	text, _ := attribute.(string)
	return text
}
