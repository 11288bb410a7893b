package segmentapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/baton-segment/baton-segment/segmentapi/internal/pacing"
)

// callState is the state of one call. The context carries it through the
// official client to the transport and back.
type callState struct {
	operation string
	// method and path are those of the request, once there is one.
	method, path string
	attempts     int
	// tries is how many of the attempts count for the policy: all but those that were
	// refused because too many requests were under way.
	tries int
	// tooManyAtOnce is set if the last attempt was refused for that.
	tooManyAtOnce bool
	// maxWait is how long the call may wait for the rate limit in all.
	maxWait time.Duration
	// waited is how long the call has waited for the rate limit so far.
	waited time.Duration
	// ready is set if the caller has already waited for the rate limit: the
	// request is sent at once, and once.
	ready bool
	// decodes is set if the caller decodes a successful answer itself: the answer
	// goes to body, and the official client gets an empty one.
	decodes bool
	body    []byte
	// list is set if the answer may be as large as a list.
	list bool
}

type callKey struct{}

func stateOf(ctx context.Context) *callState {
	if st, ok := ctx.Value(callKey{}).(*callState); ok {
		return st
	}
	return nil
}

// transport is the transport of the official client: it adds the token, retries
// where that is safe, and keeps to the rate limit.
type transport struct {
	limiters
	token   string
	agent   string
	dryRun  bool
	maxWait time.Duration
	// maxAttempts is how many tries a call has. The retrying client does not count them.
	maxAttempts int
	retry       *retryablehttp.Client
}

func newTransport(token string, s settings) *transport {
	t := &transport{
		limiters: limiters{
			reads:  pacing.New(s.limits.Reserve, 0),
			writes: pacing.New(s.limits.Reserve, s.limits.WritesPerMinute),
		},
		token:  token,
		agent:  s.userAgent,
		dryRun: s.dryRun,
	}
	base := http.Client{Transport: DefaultTransport()}
	if s.httpClient != nil {
		base = *s.httpClient
	}
	if base.Transport == nil {
		base.Transport = http.DefaultTransport
	}
	base.CheckRedirect = refuseRedirect
	// The timeout moves into the attempt: it must not include the wait before it.
	base.Transport = &attempt{limiters: t.limiters, base: base.Transport, timeout: base.Timeout, maxBody: s.maxBody, logger: s.logger, redact: t.redact}
	base.Timeout = 0
	t.setRetry(&base, s.retry)
	return t
}

// withRetry returns a transport that shares connections and limiters with t.
func (t *transport) withRetry(p RetryPolicy) *transport {
	other := *t
	other.setRetry(t.retry.HTTPClient, p)
	return &other
}

func (t *transport) setRetry(hc *http.Client, p RetryPolicy) {
	t.maxWait, t.maxAttempts = p.MaxWait, p.MaxAttempts
	t.retry = &retryablehttp.Client{
		HTTPClient:   hc,
		RetryMax:     math.MaxInt,
		RetryWaitMin: 250 * time.Millisecond,
		RetryWaitMax: 8 * time.Second,
		CheckRetry:   t.checkRetry,
		Backoff:      backoff,
		ErrorHandler: passThrough,
	}
}

// DefaultTransport returns a new transport like the one of a client without
// [WithHTTPClient]: with enough idle connections for parallel readers, and the proxy of
// the environment.
func DefaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          100,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// RoundTrip sends a request of the official client, as often as the policy
// allows.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	st := stateOf(req.Context())
	if st == nil { // A request through Raw.
		st = &callState{operation: "raw", list: true}
	}
	st.method, st.path, st.maxWait = req.Method, req.URL.Path, max(t.maxWait, leastWait(req.Context()))
	if t.dryRun && req.Method != http.MethodGet {
		return nil, fmt.Errorf("%s %s was not sent: this is a dry run", req.Method, req.URL.Path)
	}
	req = req.Clone(context.WithValue(req.Context(), callKey{}, st))
	req.Header.Set("Authorization", "Bearer "+t.token)
	req.Header.Set("User-Agent", t.agent)
	r, err := retryablehttp.FromRequest(req)
	if err != nil {
		return nil, fmt.Errorf("reading the request body: %w", err)
	}
	resp, err := t.retry.Do(r)
	var wrapped *url.Error
	if errors.As(err, &wrapped) { // The official client's http.Client wraps it again.
		err = wrapped.Err
	}
	return resp, err
}

func (t *transport) closeIdleConnections() { t.retry.HTTPClient.CloseIdleConnections() }

// sleep waits for d or until the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// checkRetry decides whether to send a request again. A refusal because too many
// requests are under way uses up no try: the call's maxWait bounds such refusals.
func (t *transport) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	st := stateOf(ctx)
	if !st.tooManyAtOnce {
		st.tries++
	}
	if st.ready || st.tries >= t.maxAttempts {
		return false, err
	}
	return t.mayRetry(ctx, st, resp, err)
}

// mayRetry decides by method and status. If waiting for the limit would exceed the
// call's maxWait, the caller gets the refusal.
func (t *transport) mayRetry(ctx context.Context, st *callState, resp *http.Response, err error) (bool, error) {
	if err != nil {
		var limited *RateLimitError
		if st.method == http.MethodPost || errors.As(err, &limited) || errors.Is(err, errTooLarge) {
			return false, err
		}
		// The library's policy knows which connection errors are final, such as a
		// certificate that is not trusted.
		retry, policyErr := retryablehttp.DefaultRetryPolicy(ctx, nil, err)
		return retry, policyErr
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return st.waited+time.Until(t.opens(st.method)) <= st.maxWait, nil
	case http.StatusInternalServerError:
		return st.method == http.MethodGet, nil
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return st.method != http.MethodPost, nil
	}
	return false, nil
}

// backoff is the wait before a retry: exponential with jitter. After a 429 it is
// zero, because the limiter holds this request back, and all others.
func backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil && resp.StatusCode == http.StatusTooManyRequests {
		return 0
	}
	d := min(least<<min(attempt, 10), most)
	return d/2 + rand.N(d/2+1) //nolint:gosec // Jitter needs no cryptography.
}

// passThrough returns the last answer unchanged, body included. A RoundTripper
// must not return both an answer and an error.
func passThrough(resp *http.Response, err error, _ int) (*http.Response, error) {
	if err == nil {
		return resp, nil
	}
	if resp != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return nil, err
}

var errTooLarge = errors.New("the answer is too large")

// attempt sends one request. It waits for the rate limit and reports the answer
// to the limiter. It reads the whole body, so that a connection that breaks
// halfway is an error that can be retried.
type attempt struct {
	limiters
	base    http.RoundTripper
	timeout time.Duration
	maxBody int64
	logger  *slog.Logger
	// redact removes the token from errors that are logged.
	redact func(error) error
	// limitLogged makes sure that the limit on requests at a time is logged once.
	limitLogged sync.Once
}

// RoundTrip sends req once.
func (a *attempt) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	st := stateOf(ctx)
	lim := a.limiter(req.Method)
	var waited time.Duration
	if st.ready {
		lim.Start()
	} else {
		var err error
		waited, err = waitForLimit(ctx, lim, st.maxWait-st.waited)
		st.waited += waited
		if err != nil {
			return nil, err
		}
	}
	defer lim.Done()
	st.attempts++
	st.tooManyAtOnce = false
	if a.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, a.timeout)
		defer cancel()
		req = req.WithContext(ctx)
	}
	start := time.Now()
	resp, err := a.base.RoundTrip(req)
	var body []byte
	if err == nil {
		body, err = a.read(resp, st)
	}
	err = withoutAnswer(err)
	if a.logger.Enabled(ctx, slog.LevelDebug) {
		log := a.logger.With("operation", st.operation, "method", req.Method, "path", req.URL.Path, "attempt", st.attempts, "duration", time.Since(start))
		if err != nil {
			log.DebugContext(ctx, "request failed", "error", a.redact(err))
		} else {
			log.DebugContext(ctx, "request", "status", resp.StatusCode, "waited", waited)
		}
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if st.decodes && resp.StatusCode < 300 {
		st.body, resp.Body = body, http.NoBody
	}
	// Redirects are refused by their status. http.Client would report one with an
	// invalid Location as a connection error, which is retried.
	resp.Header.Del("Location")
	st.tooManyAtOnce = lim.Observe(start, time.Now(), resp.StatusCode, resp.Header, body)
	if most, known := lim.Concurrency(); known {
		a.limitLogged.Do(func() {
			a.logger.InfoContext(ctx, "Segment limits how many requests may be under way at a time", "limit", most)
		})
	}
	return resp, nil
}

// CloseIdleConnections passes the call of http.Client on to the base transport.
func (a *attempt) CloseIdleConnections() {
	if c, ok := a.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

const (
	// maxDetail is the largest answer about one object, in bytes. One with 20,000 scopes is
	// about 3 MB.
	maxDetail = 16 << 20
	// maxDetailValues and maxListValues are how many values, such as the fields of all
	// rows, an answer may have. The memory for decoding depends on them and not on bytes:
	// a row of two bytes takes 80 and more. An answer with 20,000 scopes has about 120,000
	// values, and a page of 1000 sources about 100,000.
	maxDetailValues = 200_000
	maxListValues   = 1_000_000
)

// read reads the body of an answer, and refuses one that is too large to decode.
func (a *attempt) read(resp *http.Response, st *callState) ([]byte, error) {
	size, values := a.maxBody, maxListValues
	if !st.list {
		size, values = min(size, maxDetail), maxDetailValues
	}
	body, err := readBody(resp, size)
	if err == nil && countValues(body) > values {
		return nil, fmt.Errorf("%w: more than %d values", errTooLarge, values)
	}
	return body, err
}

// countValues returns about how many values JSON has: the commas outside strings.
func countValues(body []byte) int {
	n := 0
	for i, quoted := 0, false; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\':
			i++
		case c == ',' && !quoted:
			n++
		}
	}
	return n
}

func readBody(resp *http.Response, most int64) ([]byte, error) {
	var buf bytes.Buffer
	var err error
	if n := resp.ContentLength; n <= most { // A larger one is refused unread.
		buf.Grow(int(max(n, 0)) + bytes.MinRead)
		_, err = buf.ReadFrom(io.LimitReader(resp.Body, most+1))
	}
	if err == nil && max(resp.ContentLength, int64(buf.Len())) > most {
		err = fmt.Errorf("%w: more than %d bytes", errTooLarge, most)
	}
	closeErr := resp.Body.Close()
	if err != nil {
		return nil, err
	}
	return buf.Bytes(), closeErr
}

// withoutAnswer returns err without the text that it quotes. If an answer is not HTTP,
// net/http quotes it, and a broken proxy may send answers to other requests, with
// write keys. The names in certificates are public.
func withoutAnswer(err error) error {
	var certificate *tls.CertificateVerificationError
	if err == nil || errors.As(err, &certificate) {
		return err
	}
	var header textproto.ProtocolError // Before Go 1.26, it contains the text unquoted.
	if errors.As(err, &header) {
		return errors.New("the answer is not HTTP: malformed header")
	}
	if start, _, quotes := strings.Cut(err.Error(), `"`); quotes {
		return errors.New(start + "[...]")
	}
	return err
}

// details reads Segment's error envelope, which the official client decodes for
// three statuses only. The envelope distinguishes Segment's refusals from a
// proxy's, so the check is strict: each entry must have a type, under exactly that
// name (decoding into a struct would ignore case).
func (t *transport) details(body io.Reader) []ErrorDetail {
	var answer map[string]json.RawMessage
	var entries []map[string]any
	b, err := io.ReadAll(body)
	if err != nil || json.Unmarshal(b, &answer) != nil || json.Unmarshal(answer["errors"], &entries) != nil {
		return nil
	}
	var details []ErrorDetail
	for _, e := range entries {
		text := func(name string) string {
			s, _ := e[name].(string)
			return t.hide(s)
		}
		d := ErrorDetail{Type: text("type"), Message: text("message"), Field: text("field")}
		if d.Type == "" {
			return nil
		}
		details = append(details, d)
	}
	return details
}

// hide removes the token from text that others wrote.
func (t *transport) hide(text string) string {
	return strings.ReplaceAll(text, t.token, "[token]")
}

// redact returns err itself, or a copy of its text if that contains the token.
func (t *transport) redact(err error) error {
	if text := err.Error(); strings.Contains(text, t.token) {
		return errors.New(t.hide(text))
	}
	return err
}
