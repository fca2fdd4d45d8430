// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(`{"records":[{"verdict":0,"rationale":"r"}],"verdicts":[{"template":"t","label":"abnormal","score":0.9}]}`), 1)
	f.Add([]byte(`{"records":[{"verdict":0}],"verdicts":[{"template":"","label":"undecided","score":null}]}`), 1)
	f.Add([]byte(`{"records":[],"verdicts":[]}`), 0)
	f.Add([]byte(`{"records":[{"verdict":-1}],"verdicts":[]}`), 1)
	f.Add([]byte(`[[[[`), 1)
	f.Fuzz(func(t *testing.T, data []byte, count int) {
		if count < 0 {
			return
		}
		found, err := decodeAnswer(bytes.NewReader(data), count)
		if err != nil {
			require.Nil(t, found)
			return
		}
		require.Len(t, found, count)
		for i := range found {
			v := found[i].verdict(&question{record: wireRecord{Body: "a"}})
			require.Contains(t, []string{labelNormal, labelAbnormal, labelUndecided}, v.label)
			require.True(t, v.score >= 0 && v.score <= 1)
		}
	})
}

// A shape says all of a body but its values, and a phrase made with a body says of that body what it was made from,
// or what holds for all.
func FuzzShape(f *testing.F) {
	f.Add("blk_1234567 of 10.0.0.1:50010 at 2026-03-14 10:00:00.5")
	f.Add("request 5b8efff7-9803-4103-a269-b633813fc60c 0x7fff5694dc58")
	f.Add("block \x00\x01\x00\x00\x00 failed 1234567")
	f.Add("1.2.3.4.5 12:34:56:78 20260314-1030 \xff 00000")
	f.Fuzz(func(t *testing.T, body string) {
		var s shaper
		shaped := s.reduce(body)
		at := 0
		for _, v := range s.values {
			require.True(t, at <= v.start && v.start < v.end && v.end <= len(body))
			at = v.end
		}
		if !shaped {
			return
		}
		adapted := phraseOf(body, "general", &wireRecord{Body: body}, s.values)
		require.Contains(t, []string{body, "general"}, adapted.with(body, s.values))
	})
}
