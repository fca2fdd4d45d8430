// SPDX-License-Identifier: Apache-2.0

// Command loadgen sends log records to an OTLP/HTTP receiver as fast as it takes them, and prints how fast that was, as JSON.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
)

// formats are bodies; ADDRESS, LONG and SHORT differ from record to record.
var formats = []string{
	"Received block blk_LONG of size 67108864 from ADDRESS:50010",
	"PacketResponder SHORT for block blk_LONG terminating",
	"Connection from ADDRESS refused: too many clients, request LONG",
	"session opened for user root by (uid=0), peer ADDRESS, id LONG",
	"worker SHORT of 4 failed: job LONG",
	"checkpoint LONG complete: wrote SHORT buffers",
	"GET /orders/LONG HTTP/1.1 200 from ADDRESS",
	"GET /orders/LONG HTTP/1.1 500 from ADDRESS",
}

func main() {
	endpoint := flag.String("endpoint", "http://127.0.0.1:4318", "where the receiver is")
	records := flag.Int("records", 500_000, "how many records to send")
	batch := flag.Int("batch", 500, "records of a request")
	senders := flag.Int("senders", 4, "requests at once")
	seed := flag.Uint64("seed", 1, "what the values are made from")
	flag.Parse()
	told, err := send(*endpoint, *records / *batch, *batch, *senders, *seed)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		log.Fatal(err)
	}
}

// report is what was measured.
type report struct {
	Records          int     `json:"records"`
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
	P50Ms            float64 `json:"p50_ms"` // of a request
	P99Ms            float64 `json:"p99_ms"`
}

func send(endpoint string, requests, batch, senders int, seed uint64) (report, error) {
	if requests < 1 || batch < 1 || senders < 1 {
		return report{}, errors.New("records, batch and senders must make at least one request")
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	took := make([]time.Duration, requests)
	failures := make([]error, senders)
	var next atomic.Int64
	var work sync.WaitGroup
	started := time.Now()
	for sender := range senders {
		work.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(sender))) //nolint:gosec // the same load every time
			for at := next.Add(1) - 1; at < int64(requests); at = next.Add(1) - 1 {
				if took[at], failures[sender] = post(client, endpoint, logs(random, batch)); failures[sender] != nil {
					return
				}
			}
		})
	}
	work.Wait()
	elapsed := time.Since(started).Seconds()
	if err := errors.Join(failures...); err != nil {
		return report{}, err
	}
	slices.Sort(took)
	count := requests * batch
	return report{count, elapsed, float64(count) / elapsed, quantile(took, 50), quantile(took, 99)}, nil
}

// quantile returns milliseconds.
func quantile(sorted []time.Duration, percent int) float64 {
	return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) / 1000
}

func logs(random *rand.Rand, count int) plog.Logs {
	made := plog.NewLogs()
	resource := made.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "loadgen")
	records := resource.ScopeLogs().AppendEmpty().LogRecords()
	records.EnsureCapacity(count)
	now := pcommon.NewTimestampFromTime(time.Now())
	for range count {
		record := records.AppendEmpty()
		record.SetTimestamp(now)
		record.SetSeverityNumber(plog.SeverityNumberInfo)
		record.Body().SetStr(body(random))
		record.Attributes().PutStr("host.name", "h1")
	}
	return made
}

func body(random *rand.Rand) string {
	values := strings.NewReplacer(
		"ADDRESS", fmt.Sprintf("10.%d.%d.%d", random.IntN(256), random.IntN(256), random.IntN(256)),
		"LONG", strconv.Itoa(1_000_000_000+random.IntN(1_000_000_000)),
		"SHORT", strconv.Itoa(random.IntN(10)),
	)
	return values.Replace(formats[random.IntN(len(formats))])
}

func post(client *http.Client, endpoint string, sent plog.Logs) (time.Duration, error) {
	data, err := plogotlp.NewExportRequestFromLogs(sent).MarshalProto()
	if err != nil {
		return 0, err
	}
	started := time.Now()
	response, err := client.Post(endpoint+"/v1/logs", "application/x-protobuf", bytes.NewReader(data))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the receiver answered %s", response.Status)
	}
	return time.Since(started), nil
}
