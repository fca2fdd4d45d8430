// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

// The cases of plugins/contract, from which every client and the service are tested.
type contractCase struct {
	Exchanges []struct {
		Request struct {
			Method  string            `json:"method"`
			Path    string            `json:"path"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
			Text    string            `json:"text"`
			Base64  []byte            `json:"base64"`
		} `json:"request"`
		Response struct {
			Status  int               `json:"status"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
		} `json:"response"`
	} `json:"exchanges"`
}

type contractAsk struct {
	Records []struct {
		Body       string         `json:"body"`
		Severity   string         `json:"severity"`
		Attributes map[string]any `json:"attributes"`
	} `json:"records"`
	Fill *bool `json:"fill"`
}

// hasEqualRecords reports whether some records are asked about once.
func (a *contractAsk) hasEqualRecords() bool {
	distinct := map[string]bool{}
	for _, record := range a.Records {
		distinct[fmt.Sprintf("%q %q %q", record.Body, record.Severity, record.Attributes)] = true
	}
	return len(distinct) < len(a.Records)
}

// The revision is read from /readyz as the contract has it.
func TestContractRevision(t *testing.T) {
	played := 0
	for _, exchange := range contractCases(t)["revision"].Exchanges {
		if exchange.Request.Path != "/readyz" {
			continue
		}
		played++
		service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, exchange.Request.Method, r.Method)
			assert.Equal(t, exchange.Request.Path, r.URL.Path)
			for name, value := range exchange.Response.Headers {
				w.Header().Set(name, value)
			}
			w.WriteHeader(exchange.Response.Status)
			_, _ = w.Write(exchange.Response.Body)
		}))
		found, err := newClient(t.Context(), testConfig(service.URL), componenttest.NewNopHost(), componenttest.NewNopTelemetrySettings())
		require.NoError(t, err)
		assert.Equal(t, exchange.Response.Headers["ra-revision"], found.revision(t.Context()))
		found.close()
		service.Close()
	}
	assert.Equal(t, 1, played)
}

func contractCases(t *testing.T) map[string]contractCase {
	t.Helper()
	paths, err := filepath.Glob("../contract/v1/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	cases := map[string]contractCase{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var found contractCase
		require.NoError(t, json.Unmarshal(data, &found), path)
		cases[strings.TrimSuffix(filepath.Base(path), ".json")] = found
	}
	return cases
}

// reasonOfStatus is what an answer of the service means to a record.
var reasonOfStatus = map[int]string{
	400: "refused", 401: "unauthorized", 404: "refused", 405: "refused", 413: "refused", 415: "refused", 421: "refused",
	422: "refused", 429: "busy", 503: "not_ready",
}

// Every answer of the contract to POST /v1/verdicts is given to the processor, which is handed the records of the request.
func TestContract(t *testing.T) {
	played := 0
	for name, found := range contractCases(t) {
		for _, exchange := range found.Exchanges {
			request, response := exchange.Request, exchange.Response
			if request.Method != http.MethodPost || request.Path != "/v1/verdicts" {
				continue
			}
			ask, ok := contractRecords(t, request.Body, request.Base64, request.Headers["Content-Encoding"])
			if !ok {
				ask = contractAsk{} // a request that no client would make; one record stands for it
			}
			if response.Status == http.StatusOK && (len(ask.Records) == 0 || ask.hasEqualRecords()) {
				continue // there is nothing to ask, or less: TestContractAnswersDecode has the answer
			}
			played++
			t.Run(name, func(t *testing.T) {
				if len(ask.Records) == 0 {
					ask.Records = append(ask.Records, struct {
						Body       string         `json:"body"`
						Severity   string         `json:"severity"`
						Attributes map[string]any `json:"attributes"`
					}{Body: "a"})
				}
				attributes, sent := play(t, ask, response.Status, response.Headers, response.Body)
				if response.Status != http.StatusOK {
					for _, found := range attributes {
						assert.Equal(t, undecided(reasonOfStatus[response.Status]), found)
					}
					return
				}
				expected := expectedAttributes(t, response.Body)
				if ask.Fill != nil && !*ask.Fill { // a client that shows no rationale
					for _, attributes := range expected {
						delete(attributes, "ra.rationale")
					}
				}
				assert.Equal(t, expected, attributes)
				for i, record := range sent.Records {
					assert.Equal(t, ask.Records[i].Body, record.Body)
				}
			})
		}
	}
	assert.GreaterOrEqual(t, played, 12)
}

func contractRecords(t *testing.T, body, packed []byte, encoding string) (ask contractAsk, ok bool) {
	t.Helper()
	if encoding == "gzip" && packed != nil {
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		require.NoError(t, err)
		body, err = io.ReadAll(reader)
		require.NoError(t, err)
	}
	return ask, json.Unmarshal(body, &ask) == nil
}

// play sends the records of a case through a processor whose service gives the answer of the case to all.
func play(t *testing.T, ask contractAsk, status int, headers map[string]string, body []byte) ([]map[string]any, wireAsk) {
	t.Helper()
	var sent wireAsk
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = readAsk(t, r)
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	defer service.Close()
	sink := new(consumertest.LogsSink)
	cfg := testConfig(service.URL)
	if ask.Fill != nil && !*ask.Fill {
		cfg.Attributes.Rationale = ""
	}
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, record := range ask.Records {
		added := records.AppendEmpty()
		added.Body().SetStr(record.Body)
		added.SetSeverityText(record.Severity)
		require.NoError(t, added.Attributes().FromRaw(record.Attributes))
	}
	p := started(t, cfg, sink)
	require.NoError(t, p.ConsumeLogs(t.Context(), logs))
	found := attributesOf(sink.AllLogs()...)
	for i := range found {
		for name := range ask.Records[i].Attributes {
			delete(found[i], name)
		}
	}
	assert.Equal(t, cfg.Attributes.Rationale != "", sent.Fill)
	return found, sent
}

// expectedAttributes reads an answer of the contract without the processor's own code.
func expectedAttributes(t *testing.T, body []byte) []map[string]any {
	t.Helper()
	var answer struct {
		Records  []map[string]any `json:"records"`
		Verdicts []map[string]any `json:"verdicts"`
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	var expected []map[string]any
	for _, record := range answer.Records {
		v := answer.Verdicts[int(record["verdict"].(float64))]
		attributes := map[string]any{"ra.label": v["label"]}
		if template := v["template"]; template != "" {
			attributes["log.record.template"] = template
		}
		if v["label"] == labelUndecided {
			attributes["ra.reason"] = reasonPending
		} else {
			attributes["ra.score"] = v["score"]
		}
		if v["category"] != nil {
			attributes["ra.category"] = v["category"]
		}
		for _, rationale := range []any{v["rationale"], record["rationale"]} {
			if rationale != nil {
				attributes["ra.rationale"] = rationale
			}
		}
		expected = append(expected, attributes)
	}
	return expected
}

// The decoder alone: every answer with verdicts, equal records included.
func TestContractAnswersDecode(t *testing.T) {
	decoded := 0
	for name, found := range contractCases(t) {
		for _, exchange := range found.Exchanges {
			if exchange.Request.Path != "/v1/verdicts" || exchange.Response.Status != http.StatusOK {
				continue
			}
			expected := expectedAttributes(t, exchange.Response.Body)
			answers, err := decodeAnswer(bytes.NewReader(exchange.Response.Body), len(expected))
			require.NoError(t, err, name)
			for i, answer := range answers {
				assert.Equal(t, expected[i]["ra.label"], answer.Label)
				assert.Equal(t, orEmpty(expected[i]["ra.rationale"]), answer.own)
				assert.Equal(t, orEmpty(expected[i]["log.record.template"]), *answer.Template)
				assert.Equal(t, orEmpty(expected[i]["ra.category"]), value(answer.Category))
			}
			_, err = decodeAnswer(bytes.NewReader(exchange.Response.Body), len(expected)+1)
			require.Error(t, err)
			decoded++
		}
	}
	assert.GreaterOrEqual(t, decoded, 6)
}

func orEmpty(value any) string {
	text, _ := value.(string)
	return text
}

// Every request that the processor makes has the shape that the service's own description demands.
func TestRequestsKeepToTheDescription(t *testing.T) {
	data, err := os.ReadFile("../contract/openapi.json")
	require.NoError(t, err)
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(data, &document))
	schemas := document.Components.Schemas
	encoded, err := json.Marshal(wireAsk{Records: []wireRecord{{Body: "a", Severity: "INFO", Attributes: map[string]any{"a": "b"}}}, WaitMs: 1})
	require.NoError(t, err)
	var ask map[string]any
	require.NoError(t, json.Unmarshal(encoded, &ask))
	for name := range ask {
		assert.Contains(t, schemas["Ask"].Properties, name)
	}
	for name := range ask["records"].([]any)[0].(map[string]any) {
		assert.Contains(t, schemas["Record"].Properties, name)
	}
	for _, name := range []string{"template", "label", "score", "category", "rationale"} {
		assert.Contains(t, schemas["Entry"].Properties, name)
	}
}
