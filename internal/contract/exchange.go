package contract

import (
	"bytes"
	"fmt"
	"net/http"
)

// Handler checks every exchange of next and passes it on unchanged. Breaches go to report, which may be called
// concurrently: the request's before next runs, the response's after it. The response to a request that breaches the
// contract is checked too, unless the request matches no operation. A handler that breaks the connection must panic
// with [http.ErrAbortHandler]; its response is not checked.
func (v *Validator) Handler(next http.Handler, report func(error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A copy, because Request replaces the body.
		r = r.WithContext(r.Context())
		operation, err := v.Request(r)
		if err != nil {
			report(err)
		}
		recorded := &recorder{ResponseWriter: w}
		next.ServeHTTP(recorded, r)
		if operation == "" {
			return
		}
		recorded.begin(http.StatusOK)
		if err := v.Response(operation, recorded.status, recorded.header, recorded.body.Bytes()); err != nil {
			report(err)
		}
	})
}

// recorder keeps a copy of the response of a handler.
type recorder struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

// Unwrap implements the method that [http.ResponseController] looks for.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if status >= http.StatusOK {
		r.begin(status)
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) {
	r.begin(http.StatusOK)
	n, err := r.ResponseWriter.Write(p)
	r.body.Write(p[:n])
	return n, err
}

// begin fixes status and header on the first call: a header that is set later is not sent.
func (r *recorder) begin(status int) {
	if r.status == 0 {
		r.status, r.header = status, r.Header().Clone()
	}
}

// RoundTripper checks every exchange through next and passes it on unchanged, except that a response is read to its
// end before the caller sees it. Breaches go to report, as in [Validator.Handler]; so does the error of an
// interrupted body.
func (v *Validator) RoundTripper(next http.RoundTripper, report func(error)) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		// A copy, because Request replaces the body and the caller's request is not ours to change.
		r = r.WithContext(r.Context())
		operation, err := v.Request(r)
		if err != nil {
			report(err)
		}
		resp, err := next.RoundTrip(r)
		if err != nil || operation == "" {
			return resp, err
		}
		body, restored, err := replay(resp.Body)
		resp.Body = restored
		if err != nil {
			report(fmt.Errorf("contract: %s: %d response: body: %w", operation, resp.StatusCode, err))
			return resp, nil
		}
		if err := v.Response(operation, resp.StatusCode, resp.Header, body); err != nil {
			report(err)
		}
		return resp, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
