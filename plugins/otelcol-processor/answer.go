// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	labelNormal    = "normal"
	labelAbnormal  = "abnormal"
	labelUndecided = "undecided"
)

// verdict is what the service says of a record.
type verdict struct {
	label     string
	score     float64 // of the undecided: 0
	category  string
	template  string
	rationale phrase
	reason    string // of the undecided, if it is not that the model has not judged yet
}

func (v *verdict) size() int {
	size := len(v.category) + len(v.template)
	for _, part := range v.rationale.parts {
		size += partBytes + len(part)
	}
	return size
}

// The types of the wire format, plugins/contract. What is not named here is passed over.
type (
	wireRecord struct {
		Body       string         `json:"body"`
		Severity   string         `json:"severity,omitempty"`
		Attributes map[string]any `json:"attributes,omitempty"` // string or json.RawMessage
	}
	wireAsk struct {
		Records []wireRecord `json:"records"`
		WaitMs  int64        `json:"wait_ms"`
		Fill    bool         `json:"fill"`
	}
	wireReference struct {
		Verdict   *int    `json:"verdict"`
		Rationale *string `json:"rationale"`
	}
	wireVerdict struct {
		Template  *string  `json:"template"`
		Label     string   `json:"label"`
		Score     *float64 `json:"score"`
		Category  *string  `json:"category"`
		Rationale *string  `json:"rationale"`
	}
	wireAnswer struct {
		Records  []wireReference `json:"records"`
		Verdicts []wireVerdict   `json:"verdicts"`
	}
)

// judged is the verdict on one record of a request.
type judged struct {
	wireVerdict
	own string // the rationale in the record's own words, or the verdict's
}

// decodeAnswer decodes an answer to a request of count records. It fails for whatever is not one verdict for each. It reads
// no more than that takes: what an answer claims to hold must not decide how much memory it gets.
func decodeAnswer(data io.Reader, count int) ([]judged, error) {
	answer, err := readAnswer(json.NewDecoder(data), count)
	if err != nil {
		return nil, fmt.Errorf("the answer is not that of /v1/verdicts: %w", err)
	}
	if len(answer.Records) != count {
		return nil, fmt.Errorf("the answer has %d records where %d were sent", len(answer.Records), count)
	}
	for i := range answer.Verdicts {
		if err := answer.Verdicts[i].check(); err != nil {
			return nil, fmt.Errorf("verdict %d of the answer: %w", i, err)
		}
	}
	found := make([]judged, count)
	for i, reference := range answer.Records {
		if reference.Verdict == nil || *reference.Verdict < 0 || *reference.Verdict >= len(answer.Verdicts) {
			return nil, fmt.Errorf("record %d of the answer points to none of its %d verdicts", i, len(answer.Verdicts))
		}
		v := answer.Verdicts[*reference.Verdict]
		found[i] = judged{v, value(v.Rationale)}
		if reference.Rationale != nil {
			found[i].own = *reference.Rationale
		}
	}
	return found, nil
}

func readAnswer(decoder *json.Decoder, count int) (answer wireAnswer, err error) {
	if err = expect(decoder, json.Delim('{')); err != nil {
		return answer, err
	}
	for decoder.More() {
		var name json.Token
		if name, err = decoder.Token(); err != nil {
			return answer, err
		}
		switch name {
		case "records":
			answer.Records, err = readList[wireReference](decoder, count)
		case "verdicts":
			answer.Verdicts, err = readList[wireVerdict](decoder, count)
		default:
			err = decoder.Decode(new(json.RawMessage))
		}
		if err != nil {
			return answer, err
		}
	}
	if err = expect(decoder, json.Delim('}')); err != nil {
		return answer, err
	}
	if _, err = decoder.Token(); !errors.Is(err, io.EOF) {
		return answer, errors.New("something follows it")
	}
	return answer, nil
}

// readList reads a list of at most so many elements.
func readList[T any](decoder *json.Decoder, most int) ([]T, error) {
	if err := expect(decoder, json.Delim('[')); err != nil {
		return nil, err
	}
	var list []T
	for decoder.More() {
		if len(list) == most {
			return nil, fmt.Errorf("a list has more than %d elements, one for each record", most)
		}
		var element T
		if err := decoder.Decode(&element); err != nil {
			return nil, err
		}
		list = append(list, element)
	}
	return list, expect(decoder, json.Delim(']'))
}

func expect(decoder *json.Decoder, wanted json.Delim) error {
	found, err := decoder.Token()
	if err == nil && found != wanted {
		err = fmt.Errorf("%v stands where %v is expected", found, wanted)
	}
	return err
}

func (v *wireVerdict) check() error {
	if v.Template == nil {
		return errors.New("there is no template")
	}
	switch v.Label {
	case labelUndecided:
		return nil
	case labelNormal, labelAbnormal:
		if v.Score != nil && *v.Score >= 0 && *v.Score <= 1 {
			return nil
		}
		return errors.New("there is no score from 0 to 1")
	default:
		return fmt.Errorf("the label is %.20q", v.Label)
	}
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
