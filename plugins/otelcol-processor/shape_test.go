// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func shapeOf(body string) string {
	var s shaper
	if !s.reduce(body) {
		return "none: " + body
	}
	return string(s.shape)
}

// Values that no verdict depends on.
func TestShapesThatAreOne(t *testing.T) {
	for _, bodies := range [][]string{
		{"block blk_1234567 stored", "block blk_7654321 stored"},
		{"blk_-123456789 stored", "blk_-987654321 stored"},
		{"from 10.0.0.1:50010 to", "from 192.168.17.254:50020 to"},
		{"peer 10.0.0.1.", "peer 10.0.0.17."},
		{"id 3f0c9a77e1", "id a01b2c3d4e"},
		{"at 0x7fff5694dc58", "at 0x7ffe00001230"},
		{"request 5b8efff7-9803-4103-a269-b633813fc60c", "request 12345678-1234-1234-1234-123456789012"},
		{"2026-03-14 10:00:00.123 started", "2025-12-31 23:59:59.999 started"},
		{"2026-03-14T10:00:00Z started", "2025-12-31T23:59:59Z started"},
		{"Mar 14 10:00:00 started", "Mar 14 23:59:59 started"},
		{"took 12345 ns", "took 7654321 ns"},
		{"from 10.0.0.1:50010 to 10.0.0.1:50020", "from 10.9.9.9:54321 to 10.9.9.9:12345"},
	} {
		assert.Equal(t, shapeOf(bodies[0]), shapeOf(bodies[1]), bodies)
		assert.NotEqual(t, bodies[0], shapeOf(bodies[0]))
	}
}

// Values that decide, or that may, and whatever else differs.
func TestShapesThatDiffer(t *testing.T) {
	for _, bodies := range [][]string{
		{"0 errors", "14 errors"},
		{"exit code 0", "exit code 137"},
		{"HTTP 200", "HTTP 500"},
		{"error 10061", "error 10054"},
		{"error code: 10061", "error code: 10054"},
		{"returned -2147467259", "returned -2147024891"},
		{"status 3221225477", "status 3221225786"},
		{"ORA-12541 no listener", "ORA-12170 no listener"},
		{"%ASA-6-302013: Built", "%ASA-6-106015: Built"},
		{"AADSTS50034", "AADSTS50126"},
		{"SQLSTATE 42703", "SQLSTATE 42883"},
		{"0x80070005", "0x80070002"},
		{"at 0x0000000000000000", "at 0x7fff5694dc58"},
		{"route 10.0.0.0/12345", "route 10.0.0.0/123456"}, // where masks may depend on the length
		{"id 12345678-1234", "id 123456789-1234"},
		{"value 012345", "value 123456"},
		{"20260314103000 started", "98765432103000 started"},
		{"a deadbeef", "a facefeed"},
		{"1048576B", "2097152B"},
		{"version 1.2.3", "version 1.2.4"},
		{"10.0.0.1 is up", "10.0.0.1 is down"},
		{"load 0.00001", "load 0.00002"},
		{"moved 1234567 to 1234567", "moved 1234567 to 7654321"}, // what is said of equal values cannot be told apart
		{"1234567 1234567 7654321", "1234567 7654321 7654321"},
		// masks that begin within a value
		{"leader is 10.0.0.1/1221000000 now", "leader is 10.0.0.1/1252643090 now"},
		{"node 10.0.0.1/ab34cd56ef failed", "node 10.0.0.1/12345cd6ef failed"},
		{"node 10.0.0.1/5b8efff7-9803-4103-a269-b633813fc60c", "node 10.0.0.1/12345678-1234-1234-1234-123456789012"},
		{"node 10.0.0.1/50.106.0.255 failed", "node 10.0.0.1/127.0.0.0 failed"},
		{"via fe80::153.10.255.108 now", "via fe80::2.50.1.127 now"},
		{"via fe80::21000000 now", "via fe80::31000001 now"},
		{"via fe80:0:0:0:0:0:0:21000000", "via fe80:0:0:0:0:0:0:31000001"},
		{"offset -255.127.1.2 set", "offset -10.0.0.1 set"},
		{"port 10.0.0.1:50010", "port 10.0.0.1:500100"},
		{`C:\a\2004-11-11T18:06:49 gone`, `C:\a\2004-11-11 18:06:49 gone`},
		{"open /b/2026-03-14T10:00:00.5", "open /b/2026-03-14 10:00:00.5"},
		{"at 2026-03-14T10:00:00 up", "at 2026-03-14 10:00:00 up"},
		{"at 10:00:00.4 up", "at 10:00:00,4 up"},
		{"at 10:00:00 up", "at 10:00:00.123 up"},
	} {
		assert.NotEqual(t, shapeOf(bodies[0]), shapeOf(bodies[1]), bodies)
	}
}

func TestBodiesWithoutAShape(t *testing.T) {
	var s shaper
	assert.False(t, s.reduce(strings.Repeat("a", maxShaped+1)))
	assert.False(t, s.reduce("block \x00\x01\x00\x00\x00 failed"), "it looks like a shape")
	var many strings.Builder
	for i := range maxValues + 1 {
		fmt.Fprintf(&many, "%d ", 1_000_000+i)
	}
	assert.False(t, s.reduce(many.String()))
}

func TestPhrases(t *testing.T) {
	tests := []struct {
		name, rationale, general, body, other, expected string
		attributes                                      map[string]any
	}{
		{"no value", "The disk failed.", "The disk failed.", "unit 1234567 failed", "unit 7654321 failed", "The disk failed.", nil},
		{"a quote", `It says "unit 1234567 failed".`, `It says "unit <num> failed".`, "unit 1234567 failed", "unit 7654321 failed", `It says "unit 7654321 failed".`, nil},
		{
			"several values, in another order",
			"10.0.0.9 refused 1234567, says 10.0.0.9.", "<ip> refused <num>, says <ip>.",
			"1234567 refused by 10.0.0.9", "7654321 refused by 10.0.0.1",
			"10.0.0.1 refused 7654321, says 10.0.0.1.", nil,
		},
		{
			"a value that is a part of another",
			"x 1234567890 y 12345", "x <num> y <num>", "12345 and 1234567890", "99999 and 8888888888", "x <num> y <num>", nil,
		},
		{
			"a value that the knowledge has too",
			"Port 65535 is the last. Unit 65535 has it.", "Port 65535 is the last. Unit <num> has it.",
			"unit 65535 failed", "unit 11111 failed", "Port 65535 is the last. Unit <num> has it.", nil,
		},
		{
			"equal values",
			"1234567 was moved to 1234567.", "<num> was moved to <num>.",
			"moved 1234567 to 1234567", "moved 7654321 to 7654321", "7654321 was moved to 7654321.", nil,
		},
		{
			"a value that a word of all bodies has",
			"query on HikariPool-10000 took 10000 ms", "query on <id> took <num> ms",
			"query on HikariPool-10000 took 10000 ms", "query on HikariPool-10000 took 12873 ms",
			"query on <id> took <num> ms", nil,
		},
		{
			"a value that is a part of a word of all bodies",
			"Host node12345x refused port 12345.", "Host <id> refused port <num>.",
			"node12345x refused port 12345", "node12345x refused port 54321", "Host <id> refused port <num>.", nil,
		},
		{
			"a value that an exception has, too",
			"Order 1234567 is unknown.", "Order <num> is unknown.",
			"order 1234567 failed", "order 7654321 failed", "Order <num> is unknown.",
			map[string]any{"error": "no order 1234567"},
		},
		{
			"a value that an exception has in an object",
			"Order 1234567 is unknown.", "Order <num> is unknown.",
			"order 1234567 failed", "order 7654321 failed", "Order <num> is unknown.",
			map[string]any{"error": json.RawMessage(`{"message":"no order 1234567"}`)},
		},
		{
			"a piece of a value",
			"At 10:00:00 it failed.", "At <time> it failed.",
			"2026-03-14 10:00:00.123 it failed", "2026-03-15 11:30:00.123 it failed", "At <time> it failed.", nil,
		},
		{
			"a value in a longer word of the rationale",
			"unit 12345678 failed", "unit <num> failed", "unit 1234567 failed", "unit 7654321 failed", "unit <num> failed", nil,
		},
		{"none", "", "", "unit 1234567 failed", "unit 7654321 failed", "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var first, other shaper
			assert.True(t, first.reduce(test.body))
			assert.True(t, other.reduce(test.other))
			assert.Equal(t, first.shape, other.shape)
			adapted := phraseOf(test.rationale, test.general, &wireRecord{Body: test.body, Attributes: test.attributes}, first.values)
			assert.Equal(t, test.expected, adapted.with(test.other, other.values))
			if test.general == test.expected {
				return
			}
			assert.Equal(t, test.rationale, adapted.with(test.body, first.values))
		})
	}
}

func TestCutKeepsCharactersWhole(t *testing.T) {
	assert.Equal(t, strings.Repeat("é", maxCharacters), cut(strings.Repeat("é", maxCharacters+1)))
	assert.Equal(t, strings.Repeat("é", maxCharacters), cut(strings.Repeat("é", maxCharacters)))
	assert.Equal(t, strings.Repeat("a", maxCharacters), cut(strings.Repeat("a", maxCharacters+1)))
}

// Bodies of one shape are masked to one text by the service. e2e/test_shapes.py makes the file with the masks.
func TestBodiesOfOneShapeAreMaskedToOneText(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "masked.jsonl"))
	require.NoError(t, err)
	masked, shaped := map[string][2]string{}, 0
	for line := range strings.Lines(string(data)) {
		var pair [2]string // a body, and what the masks make of it
		require.NoError(t, json.Unmarshal([]byte(line), &pair))
		shape := shapeOf(pair[0])
		other, known := masked[shape]
		if known {
			shaped++
			assert.Equal(t, other[1], pair[1], "%q and %q", other[0], pair[0])
		}
		masked[shape] = pair
	}
	assert.Greater(t, shaped, 500)
}
