package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxTries is how often a change is written before it is given up: others may
// be changing the same.
const maxTries = 3

// A writer is what the methods that change something have in common.
type writer struct {
	dryRun bool
	logger *slog.Logger
	*shared
}

// shared is what clients of one workspace must not have twice.
type shared struct {
	locks locks
	// What was seen of POST: that it leaves what else is held of the same role, or
	// that it does not. Segment documents neither.
	merges   atomic.Bool
	replaces atomic.Bool
}

func newShared() *shared { return &shared{locks: locks{held: map[string]*lock{}}} }

// locks serializes edits of one subject within the process. A lock is a
// channel, so that waiting for it ends with the context.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	turn chan struct{}
	// users is how many hold or want it.
	users int
}

// acquire returns the function that releases. The order of locks is that of
// the workspace: first a user, a group or an invite, then the owners.
func (l *locks) acquire(ctx context.Context, name string) (func(), error) {
	l.mu.Lock()
	one, ok := l.held[name]
	if !ok {
		one = &lock{turn: make(chan struct{}, 1)}
		l.held[name] = one
	}
	one.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case one.turn <- struct{}{}:
		return func() {
			<-one.turn
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("segmentapi: waiting to edit %s: %w", name, ctx.Err())
	}
}

// audit leaves the one line in the log that each change has. err is what the
// change ended with: the line is there also if it is not known how it ended.
func (c *Client) audit(ctx context.Context, what call, subject, change string, err error) {
	log := c.writer.logger.With("operation", what.operation, "subject", subject, "change", change)
	if err != nil {
		log.WarnContext(ctx, "change failed or may have failed", "error", err)
		return
	}
	log.InfoContext(ctx, "changed")
}

type readyKey struct{}

func isReady(ctx context.Context) bool { return ctx.Value(readyKey{}) != nil }

// turn waits until a write may be sent. With the context that it returns the
// write goes out at once, and once: who has to read right before a write must
// not have a pause in between. It returns how long it waited.
func (c *Client) turn(ctx context.Context, what call, waited time.Duration) (context.Context, time.Duration, error) {
	more, err := waitForLimit(ctx, c.transport.writes, max(c.transport.maxWait, patience(ctx))-waited)
	waited += more
	if err == nil { // It has its turn, and may come to nothing.
		c.transport.writes.Done()
	}
	var limited *RateLimitError
	if errors.As(err, &limited) {
		limited.err = &Error{Operation: what.operation, Method: what.method, Path: what.path, kind: ErrRateLimited}
	} else if err != nil {
		err = &Error{Operation: what.operation, Method: what.method, Path: what.path, cause: err}
	}
	return context.WithValue(ctx, readyKey{}, true), waited, err
}

// unclear reports that a write may have been carried out although it failed.
func unclear(err error) bool {
	var e *Error
	return errors.Is(err, ErrConnection) || errors.Is(err, ErrServer) || errors.Is(err, ErrBadResponse) || errors.Is(err, ErrConflict) ||
		errors.As(err, &e) && e.StatusCode == http.StatusRequestTimeout
}

// afresh sends a write that rests on what was read. If it has to wait for the
// limit, or to be sent again, again is asked right before whether it still is to
// be. If not there is neither an answer nor an error.
func afresh[T any](ctx context.Context, c *Client, what call, again func() (bool, error), send func(context.Context) (*T, *http.Response, error)) (*T, error) {
	var waited time.Duration
	var open error // What leaves it open whether it was carried out.
	for tries := 1; ; tries++ {
		ready, sofar, err := c.turn(ctx, what, waited)
		if err != nil {
			return nil, errors.Join(open, err)
		}
		if tries > 1 || sofar > time.Second {
			if ok, readErr := again(); readErr != nil {
				return nil, errors.Join(open, readErr)
			} else if !ok {
				return nil, nil
			}
		}
		waited = sofar
		out, _, err := execute(ready, c, what, send)
		last := tries == c.transport.retry.RetryMax+1
		switch {
		case errors.Is(err, ErrRateLimited):
			if late := time.Until(c.transport.opens(what.method)) > max(c.transport.maxWait, patience(ctx))-waited; late || last {
				return nil, errors.Join(open, err)
			}
		case passing(err) && what.method != http.MethodPost && !last:
			open = err
			if err = sleep(ctx, backoff(250*time.Millisecond, 8*time.Second, tries, nil)); err != nil {
				return nil, errors.Join(open, err)
			}
		default:
			return out, err
		}
	}
}

// sentBefore reports that the limit held back another try of a write, of which
// an earlier one may have been carried out. (A POST is sent again only if it was
// refused.)
func sentBefore(what call, err error) bool {
	var e *Error
	return what.method != http.MethodPost && errors.Is(err, ErrRateLimited) && errors.As(err, &e) && (e.Attempts > 1 || e.StatusCode == 0 && e.Attempts > 0)
}

// verify reads back what a write did that ended with failed. left names what
// is not as it should be. An error that leaves the outcome open is none if
// nothing is left, and so is a refusal of what is done already.
func (c *Client) verify(ctx context.Context, what call, subject, change string, failed error, left func(context.Context) (string, error)) error {
	if failed != nil && !unclear(failed) && !sentBefore(what, failed) && !errors.Is(failed, ErrNotFound) && !errors.Is(failed, ErrInvalid) {
		if ctx.Err() != nil { // Nobody knows what has become of it.
			c.audit(ctx, what, subject, change, failed)
		}
		return failed
	}
	still, err := left(ctx)
	switch {
	case err != nil:
		err = errors.Join(failed, fmt.Errorf("segment %s was changed (%s), but cannot be read back: %w", subject, change, err))
		c.audit(ctx, what, subject, change, err)
		return err
	case still != "" && failed != nil:
		return failed
	case still != "":
		err = fmt.Errorf("segment %s: %w: %s: not so for %s", subject, ErrNotApplied, change, still)
	}
	c.audit(ctx, what, subject, change, err)
	return err
}

// gone reports that Segment itself says that something is not there. A 404
// without its envelope comes from somewhere else.
func gone(err error) bool {
	return errors.Is(err, ErrNotFound) && FromSegment(err)
}

// passing reports that a write may succeed if it is sent again.
func passing(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return errors.Is(err, ErrConnection)
}

// fold is the form in which e-mails are compared.
func fold(email string) string { return strings.ToLower(strings.TrimSpace(email)) }
