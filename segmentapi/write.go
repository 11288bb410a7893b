package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxTries is how often a write is sent at most.
	maxTries = 3
	// firstPause and lastPause bound the pauses between two reads of the same object,
	// which grow from one to the other.
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
	// stopGrace is how long a write that has begun may go on after the caller's
	// context has ended.
	stopGrace = 25 * time.Second
)

// A writer is what the methods that change something have in common.
type writer struct {
	dryRun bool
	// settleTime is how long a read may be behind a write.
	settleTime time.Duration
	logger     *slog.Logger
	*shared
}

// shared is what all clients with the same base URL and token have in common in this
// process.
type shared struct {
	locks  locks
	memory memory
	// workspaceID is set once a client has read the workspace.
	workspaceID atomic.Pointer[string]
	// An answer or a read has shown that POST keeps other permissions of the same role, or
	// that it replaces them. Segment documents neither.
	postMerges   atomic.Bool
	postReplaces atomic.Bool
}

// workspaces has the shared part of clients by base URL and token. A token belongs to one
// workspace.
var workspaces struct {
	mu     sync.Mutex
	shared map[[2]string]*shared
}

func sharedBy(baseURL, token string) *shared {
	workspaces.mu.Lock()
	defer workspaces.mu.Unlock()
	if workspaces.shared == nil {
		workspaces.shared = map[[2]string]*shared{}
	}
	key := [2]string{baseURL, token}
	s, ok := workspaces.shared[key]
	if !ok {
		s = &shared{locks: locks{held: map[string]*lock{}}, memory: memory{facts: map[string]map[string]fact{}, unknown: map[string]time.Time{}}}
		workspaces.shared[key] = s
	}
	return s
}

// locks serializes edits of one object within the process. A lock is a channel,
// so that waiting for it ends with the context.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	holder chan struct{}
	// users is how many hold or want it.
	users int
}

// acquire locks an object and returns the function that unlocks it. The order of locks
// is: first an invite, then a user or a group, then the name of a group, then the owners.
func (l *locks) acquire(ctx context.Context, name string) (func(), error) {
	l.mu.Lock()
	named, ok := l.held[name]
	if !ok {
		named = &lock{holder: make(chan struct{}, 1)}
		l.held[name] = named
	}
	named.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if named.users--; named.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case named.holder <- struct{}{}:
		return func() {
			<-named.holder
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, fmt.Errorf("segmentapi: waiting to edit %s: %w", name, ctx.Err())
	}
}

// begin locks an object and returns a context for the operation; see finishing.
func (c *Client) begin(ctx context.Context, name string) (context.Context, func(), error) {
	unlock, err := c.writer.locks.acquire(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	ctx, done := withGrace(ctx)
	return ctx, func() {
		done()
		unlock()
	}, nil
}

type graceKey struct{}

// withGrace attaches to ctx the context that finishing returns.
func withGrace(ctx context.Context) (context.Context, func()) {
	if ctx.Value(graceKey{}) != nil {
		return ctx, func() {}
	}
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if sleep(longer, stopGrace) == nil {
			cancel(context.Cause(ctx))
		}
	})
	return context.WithValue(ctx, graceKey{}, longer), func() {
		stop()
		cancel(nil)
	}
}

// finishing returns the context for what must not stop halfway, such as a request
// that writes and the reads that confirm it. It ends stopGrace after ctx does.
func finishing(ctx context.Context) context.Context {
	if longer, ok := ctx.Value(graceKey{}).(context.Context); ok {
		return longer
	}
	return ctx
}

// restoring returns the context for giving back what was taken. It waits longer for
// the rate limit than other calls do.
func restoring(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(finishing(ctx), leastWaitKey{}, 90*time.Second), 2*time.Minute)
}

type leastWaitKey struct{}

// leastWait is how long a call waits for the rate limit at least, despite the
// policy of the client.
func leastWait(ctx context.Context) time.Duration {
	d, _ := ctx.Value(leastWaitKey{}).(time.Duration)
	return d
}

// audit writes the one line that each change leaves in the log. err is what the
// change ended with. The line is also written if the outcome is unknown.
func (c *Client) audit(ctx context.Context, what call, subject, change string, err error) {
	log := c.changeLog(what, subject).With("change", change)
	if err != nil {
		log.WarnContext(ctx, "change failed or may have failed", "error", err)
		return
	}
	log.InfoContext(ctx, "changed")
}

// planned reports whether this is a dry run. If so, it logs the change that would be made.
func (c *Client) planned(ctx context.Context, what call, subject, change string) bool {
	if c.writer.dryRun {
		c.changeLog(what, subject).InfoContext(ctx, "would change", "change", change)
	}
	return c.writer.dryRun
}

// logUnchanged logs that a change was not needed.
func (c *Client) logUnchanged(ctx context.Context, what call, subject, why string) {
	c.changeLog(what, subject).InfoContext(ctx, "nothing to change", "why", why)
}

// announce logs the steps of a change before the first of them, so that an operator knows
// where to look if the process dies in between.
func (c *Client) announce(ctx context.Context, what call, subject, steps string) {
	c.changeLog(what, subject).InfoContext(ctx, "starting a change of several steps", "steps", steps)
}

func (c *Client) changeLog(what call, subject string) *slog.Logger {
	log := c.writer.logger.With("operation", what.operation, "subject", subject)
	if id := c.writer.workspaceID.Load(); id != nil {
		log = log.With("workspace_id", *id)
	}
	return log
}

type atOnceKey struct{}

// atOnce returns a context with which a write is sent at once, and only once: the caller
// has already waited for the rate limit.
func atOnce(ctx context.Context) context.Context { return context.WithValue(ctx, atOnceKey{}, true) }

func isAtOnce(ctx context.Context) bool { return ctx.Value(atOnceKey{}) != nil }

// waitToWrite waits until the rate limit lets a write pass. waited is how long the
// change has waited before; the sum is returned.
func (c *Client) waitToWrite(ctx context.Context, what call, waited time.Duration) (time.Duration, error) {
	if err := ctx.Err(); err != nil { // No write begins.
		return waited, &Error{Operation: what.operation, Method: what.method, Path: what.path, cause: err}
	}
	more, err := waitForLimit(ctx, c.transport.writes, max(c.transport.maxWait, leastWait(ctx))-waited)
	var limited *RateLimitError
	switch {
	case err == nil:
		c.transport.writes.Done() // The write may turn out not to be needed.
	case errors.As(err, &limited):
		limited.err = &Error{Operation: what.operation, Method: what.method, Path: what.path, kind: ErrRateLimited}
	default:
		err = &Error{Operation: what.operation, Method: what.method, Path: what.path, cause: err}
	}
	return waited + more, err
}

// A rechecker reports right before a write whether it is still wanted, if time has passed
// since that was decided.
type rechecker struct {
	check func(context.Context) (bool, error)
	// always is set if time has already passed.
	always bool
}

// sendWithRecheck sends a write, and sends it again if the rate limit refuses it. If the
// write is no longer wanted, there is neither an answer nor an error.
func sendWithRecheck[T any](
	ctx context.Context, c *Client, what call, recheck rechecker, do func(context.Context) (*T, *http.Response, error),
) (*T, error) {
	var waited time.Duration
	for tries, again := 0, recheck.always; ; again = true {
		sum, err := c.waitToWrite(ctx, what, waited)
		if err != nil {
			return nil, notSentError{err}
		}
		if recheck.check != nil && (again || sum > time.Second) {
			wanted, recheckErr := recheck.check(ctx)
			if recheckErr != nil {
				return nil, notSentError{recheckErr}
			}
			if !wanted {
				return nil, nil
			}
		}
		waited = sum
		out, _, err := execute(atOnce(finishing(ctx)), c, what, do)
		if usesUpTry(err) {
			tries++
		}
		if !errors.Is(err, ErrRateLimited) || tries >= c.transport.maxAttempts ||
			time.Until(c.transport.opens(what.method)) > max(c.transport.maxWait, leastWait(ctx))-waited {
			return out, err
		}
	}
}

// A notSentError is why a write was not sent.
type notSentError struct{ error }

// Unwrap returns the cause.
func (e notSentError) Unwrap() error { return e.error }

func notSent(err error) bool {
	var e notSentError
	return errors.As(err, &e)
}

// sendUnless is sendWithRecheck for a write whose answer has nothing of interest. It
// returns errUnwanted if the write is no longer wanted.
func sendUnless[T any](
	ctx context.Context, c *Client, what call, recheck rechecker, do func(context.Context) (*T, *http.Response, error),
) error {
	out, err := sendWithRecheck(ctx, c, what, recheck, do)
	if out == nil && err == nil {
		return errUnwanted
	}
	return err
}

// A change is a write of anything but permissions.
type change struct {
	call
	// subject and what are for logs and errors: "group g", "renamed to G".
	subject, what string
	// send returns errUnwanted if the change turned out not to be wanted. If again is set,
	// time has passed since that was decided.
	send func(ctx context.Context, again bool) error
	// notYet reads, and returns the name of what is not yet as it should be, or "".
	notYet func(context.Context) (string, error)
	// facts are what the change makes true, for the memory of own writes.
	facts func() []changedFact
	// mustBeOurs is set if it is an error when another program has made the change.
	mustBeOurs bool
	// repeatable is set if sending twice does the same as sending once.
	repeatable bool
}

// errUnwanted means that a write was not sent because it was no longer wanted.
var errUnwanted = errors.New("the change is no longer wanted")

// An acceptedError is the error of a write that Segment has accepted. The write must not be
// sent again, nor be treated as not carried out.
type acceptedError struct{ error }

// Unwrap returns the cause.
func (e acceptedError) Unwrap() error { return e.error }

func accepted(err error) bool {
	var e acceptedError
	return errors.As(err, &e)
}

// carryOut sends a change and reads until it shows. If the change shows, an error that
// leaves the outcome open is ignored, and so is the refusal of a change that another
// program has made.
func (c *Client) carryOut(ctx context.Context, ch change) error {
	for tries := 1; ; tries++ {
		failed := ch.send(ctx, tries > 1)
		if errors.Is(failed, errUnwanted) || notSent(failed) || ch.mustBeOurs && refused(failed) {
			return failed
		}
		unknown := outcomeUnknown(failed)
		if failed != nil && !unknown && !errors.Is(failed, ErrNotFound) && !errors.Is(failed, ErrInvalid) {
			return failed
		}
		if failed == nil {
			c.writer.memory.note(ch.facts())
		}
		var notYet string
		done := func(ctx context.Context) (bool, error) {
			var err error
			notYet, err = ch.notYet(ctx)
			return notYet == "", err
		}
		until := c.readUntil
		if tries == 1 && errors.Is(failed, ErrInvalid) { // It was refused, and nothing was sent before.
			until = readOnce
		}
		shown, err := c.readBack(ctx, failed, ch.facts(), done, until)
		switch {
		case err != nil && failed == nil:
			err = acceptedError{fmt.Errorf("segment %s was changed (%s), but cannot be read back: %w", ch.subject, ch.what, err)}
			c.audit(ctx, ch.call, ch.subject, ch.what, err)
			return err
		case err != nil:
			err = errors.Join(failed, fmt.Errorf("segment %s may have been changed (%s), but cannot be read back: %w", ch.subject, ch.what, err))
			c.audit(ctx, ch.call, ch.subject, ch.what, err)
			return err
		case shown && tries == 1 && failed != nil && !unknown:
			c.logUnchanged(ctx, ch.call, ch.subject, "another program has made the change: "+ch.what)
			return nil
		case shown:
			if failed != nil {
				c.writer.memory.note(ch.facts())
			}
			c.audit(ctx, ch.call, ch.subject, ch.what, nil)
			return nil
		case failed == nil:
			err = acceptedError{fmt.Errorf("segment %s: %w after %s: %s: not yet for %s", ch.subject, ErrUnconfirmed, c.writer.settleTime, ch.what, notYet)}
			c.audit(ctx, ch.call, ch.subject, ch.what, err)
			return err
		case unknown && ch.repeatable && mayRepeat(failed) && tries < maxTries && tries < c.transport.maxAttempts && ctx.Err() == nil:
			if err = c.pauseBeforeRetry(ctx, tries); err != nil {
				return errors.Join(failed, err)
			}
		default:
			if unknown {
				c.audit(ctx, ch.call, ch.subject, ch.what, failed)
			}
			return failed
		}
	}
}

// pauseBeforeRetry waits before a write whose answer was lost is sent again. If the
// client has read for a while to see whether it was carried out, that was the pause.
func (c *Client) pauseBeforeRetry(ctx context.Context, tries int) error {
	if c.writer.settleTime > 0 {
		return ctx.Err()
	}
	return sleep(ctx, backoff(250*time.Millisecond, 8*time.Second, tries, nil))
}

// readUntil reads until done, for as long as a read may be behind a write.
func (c *Client) readUntil(ctx context.Context, read readFunc) (bool, error) {
	end := time.Now().Add(c.writer.settleTime)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		done, err := read(ctx)
		left := time.Until(end)
		if done || err != nil || left <= 0 {
			return done, err
		}
		if err = sleep(ctx, min(pause, left)); err != nil {
			return false, err
		}
	}
}

// readBack reads, with until, whether a write shows that ended with failed and makes facts
// true. If the write failed and this process did the opposite within the last minute, a read
// that shows the write may be older than both: only a read after the settle time is
// conclusive.
func (c *Client) readBack(ctx context.Context, failed error, facts []changedFact, read readFunc, until func(context.Context, readFunc) (bool, error)) (bool, error) {
	ctx = finishing(ctx)
	if failed != nil && c.writer.memory.hasOpposite(facts) {
		if err := sleep(ctx, c.writer.settleTime); err != nil {
			return false, err
		}
	}
	return until(ctx, read)
}

// A readFunc reads, and reports whether the read shows what is expected.
type readFunc = func(context.Context) (bool, error)

func readOnce(ctx context.Context, read readFunc) (bool, error) { return read(ctx) }

// outcomeUnknown reports whether a write may have been carried out although it failed.
func outcomeUnknown(err error) bool {
	if err == nil || notSent(err) {
		return false
	}
	var e *Error
	return errors.Is(err, ErrConnection) || errors.Is(err, ErrServer) || errors.Is(err, ErrBadResponse) || errors.Is(err, ErrConflict) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &e) && e.StatusCode == http.StatusRequestTimeout
}

// refused reports whether Segment refused a write, so that it was not carried out.
func refused(err error) bool {
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotFound)
}

// mayRepeat reports whether a write whose outcome is unknown may succeed if it is sent
// again.
func mayRepeat(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return errors.Is(err, ErrConnection) || errors.Is(err, errEmptyAnswer)
}

// gone reports whether Segment itself says that something is not there. A 404
// without its envelope comes from somewhere else.
func gone(err error) bool {
	return errors.Is(err, ErrNotFound) && FromSegment(err)
}
