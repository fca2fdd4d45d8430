// SPDX-License-Identifier: Apache-2.0

package rationanomalyprocessor // import "github.com/rationanomaly/ra-sdk/plugins/otelcol-processor"

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configmiddleware"
	"go.opentelemetry.io/collector/extension/extensionmiddleware"
)

// Why a record is undecided.
const (
	reasonPending       = "pending" // the model has not judged its template yet
	reasonBusy          = "busy"
	reasonInvalidAnswer = "invalid_answer"
	reasonNotReady      = "not_ready"
	reasonQueueFull     = "queue_full"
	reasonRefused       = "refused"
	reasonShutdown      = "shutdown"
	reasonTimeout       = "timeout"
	reasonUnauthorized  = "unauthorized"
	reasonUnreachable   = "unreachable"
)

const (
	// revisionHeader tells the verdicts of one model and its overrides from those of another.
	revisionHeader = "RA-Revision"

	// What an answer may take: some bytes whatever it says, some for each record, and for its template and what is quoted of it
	// twice those of the request.
	answerBytes, answerBytesPerRecord, answerBytesPerByte = 256 << 10, 4 << 10, 2

	maxErrorBytes = 4 << 10
)

// unacceptable is the answer to a request because of a record in it, or because there are too many.
type unacceptable struct{ err error }

func (u *unacceptable) Error() string { return u.err.Error() }

// failure is a request that brought no verdicts.
type failure struct {
	reason string
	after  time.Duration // when to come again; 0: the service did not say
	atOnce bool          // no further requests until then
	err    error
}

func (f *failure) Error() string { return f.reason + ": " + f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// client speaks to the service.
type client struct {
	http     *http.Client
	kept     *transportKeeper
	endpoint string
	timeout  time.Duration
	fill     bool
}

func newClient(ctx context.Context, cfg *Config, host component.Host, set component.TelemetrySettings) (*client, error) {
	settings := cfg.ClientConfig
	settings.Timeout = 0 // of requests that may wait for the model; their contexts have deadlines
	kept := &transportKeeper{}
	extensions := map[component.ID]component.Component{keeperID: kept}
	maps.Copy(extensions, host.GetExtensions())
	settings.Middlewares = append(slices.Clone(settings.Middlewares), configmiddleware.Config{ID: keeperID})
	found, err := settings.ToClient(ctx, extensions, set)
	if err != nil {
		return nil, err
	}
	// a redirection would carry log records to wherever it points
	found.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{
		http:     found,
		kept:     kept,
		endpoint: strings.TrimRight(cfg.ClientConfig.Endpoint, "/"),
		timeout:  cfg.ClientConfig.Timeout,
		fill:     cfg.Attributes.Rationale != "",
	}, nil
}

// judge asks for verdicts, one for each record, and the revision that they are of. wait is how long the service may wait for
// the model. Errors are a *failure or *unacceptable.
func (c *client) judge(ctx context.Context, records []wireRecord, wait time.Duration) ([]judged, string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout+wait)
	defer cancel()
	request, err := c.request(ctx, records, wait)
	if err != nil {
		return nil, "", &failure{reason: reasonRefused, err: err}
	}
	limit := answerBytes + answerBytesPerRecord*len(records) + answerBytesPerByte*int(request.ContentLength)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, "", broken(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, "", refusal(response)
	}
	data := &boundedReader{from: response.Body, left: limit}
	found, err := decodeAnswer(data, len(records))
	switch {
	case err == nil:
		return found, response.Header.Get(revisionHeader), nil
	case data.err != nil && !errors.Is(data.err, errLongAnswer):
		return nil, "", broken(ctx, data.err)
	default:
		return nil, "", &failure{reason: reasonInvalidAnswer, err: err}
	}
}

var errLongAnswer = errors.New("the answer is longer than verdicts on these records can be")

// boundedReader reads at most so many bytes, and remembers what broke it.
type boundedReader struct {
	from io.Reader
	left int
	err  error
}

func (r *boundedReader) Read(to []byte) (int, error) {
	if r.left <= 0 {
		r.err = errLongAnswer
		return 0, r.err
	}
	count, err := r.from.Read(to[:min(len(to), r.left)])
	r.left -= count
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return count, err
}

func (c *client) request(ctx context.Context, records []wireRecord, wait time.Duration) (*http.Request, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(wireAsk{Records: records, WaitMs: wait.Milliseconds(), Fill: c.fill}); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/v1/verdicts", &body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	// To ask twice changes nothing, so the transport may repeat a request on a connection that the service has closed.
	// Without a value the header is not sent.
	request.Header["Idempotency-Key"] = nil
	return request, nil
}

// revision asks which revision the service's verdicts are of; empty if it does not say.
func (c *client) revision(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.endpoint+"/readyz", http.NoBody)
	if err != nil {
		return ""
	}
	request.Header.Set("Content-Encoding", "identity") // or else the transport would compress nothing to something
	response, err := c.http.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxErrorBytes) // so that the connection can be used again
	if response.StatusCode != http.StatusOK {
		return ""
	}
	return response.Header.Get(revisionHeader)
}

func (c *client) close() {
	if transport, ok := c.kept.transport.(interface{ CloseIdleConnections() }); ok {
		transport.CloseIdleConnections()
	}
}

var keeperID = component.MustNewID("rationanomaly_transport")

// transportKeeper is a middleware that keeps the innermost transport of a client. confighttp wraps it in others that do not
// pass CloseIdleConnections on.
type transportKeeper struct {
	component.StartFunc
	component.ShutdownFunc
	transport http.RoundTripper
}

var _ extensionmiddleware.HTTPClient = (*transportKeeper)(nil)

func (k *transportKeeper) GetHTTPRoundTripper(context.Context) (extensionmiddleware.WrapHTTPRoundTripperFunc, error) {
	return func(_ context.Context, transport http.RoundTripper) (http.RoundTripper, error) {
		k.transport = transport
		return transport, nil
	}, nil
}

func broken(ctx context.Context, err error) *failure {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &failure{reason: reasonShutdown, err: err}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &failure{reason: reasonTimeout, err: err}
	}
	return &failure{reason: reasonUnreachable, err: err}
}

// refusal is what an answer other than 200 means.
func refusal(response *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBytes))
	err := fmt.Errorf("the service answered %s: %s", response.Status, message(text))
	switch response.StatusCode {
	case http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &unacceptable{err}
	case http.StatusUnauthorized, http.StatusForbidden:
		return &failure{reason: reasonUnauthorized, atOnce: true, err: err}
	case http.StatusTooManyRequests:
		return &failure{reason: reasonBusy, after: retryAfter(response), atOnce: true, err: err}
	case http.StatusServiceUnavailable:
		return &failure{reason: reasonNotReady, after: retryAfter(response), atOnce: true, err: err}
	default:
		return &failure{reason: reasonRefused, err: err}
	}
}

// message is the message of an error of the wire format, or the text that stands in its place.
func message(text []byte) string {
	var fault struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &fault) == nil && fault.Error.Message != "" {
		return fault.Error.Message
	}
	return fmt.Sprintf("%.200q", text)
}

func retryAfter(response *http.Response) time.Duration {
	text := response.Header.Get("Retry-After")
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int64(maxPause/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
