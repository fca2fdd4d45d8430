// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"encoding/json"
	"errors"
	"fmt"
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
}

func (v *verdict) size() int {
	size := len(v.category) + len(v.template)
	for _, part := range v.rationale.parts {
		size += len(part)
	}
	return size
}

// The types of the wire format, plugins/contract. What is not named here is passed over.
type (
	wireRecord struct {
		Body       string            `json:"body"`
		Severity   string            `json:"severity,omitempty"`
		Attributes map[string]string `json:"attributes,omitempty"`
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

// decodeAnswer decodes an answer to a request of count records. It fails for whatever is not one verdict for each.
func decodeAnswer(data []byte, count int) ([]judged, error) {
	var answer wireAnswer
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("the answer is not the JSON of /v1/verdicts: %w", err)
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
