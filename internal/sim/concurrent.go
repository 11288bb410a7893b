package sim

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// WithConcurrency sets how many requests may be under way at a time. Each further one is
// rejected with a 429 that says that requests remain in the window, after the delay of a
// fault if there is one. It is not counted by other limits. Zero, the default, is no limit.
//
// No document says that Segment has such a limit. It is suspected.
func WithConcurrency(n int) Option {
	return func(s *Server) { s.underWay.most = n }
}

// An occupancy counts the requests that are under way.
type occupancy struct {
	most int

	mu sync.Mutex
	n  int
}

// enter counts a request until the returned function is called, and reports whether there
// was room for it.
func (o *occupancy) enter() (func(), bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.most > 0 && o.n >= o.most {
		return func() {}, false
	}
	o.n++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.n--
	}, true
}

// tooManyAtOnce is the rejection by WithConcurrency.
func (s *Server) tooManyAtOnce(op *operation) *problem {
	limit := s.readLimit
	if op != nil && op.write {
		limit = s.writeLimit
	}
	consumed, wait := limit.peek(s.clock())
	p := tooManyRequests(wait, consumed)
	p.Data.(map[string]int64)["remainingPoints"] = int64(limit.size() - consumed) //nolint:errcheck // It has this type.
	return p
}

// peek returns how many requests were counted in the window, and how long it lasts. It
// counts none.
func (l *limiter) peek(now time.Time) (int, time.Duration) {
	if l == nil {
		return 1, limitWindow
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.end) {
		return min(l.consumed, l.points), l.end.Sub(now)
	}
	return 0, 0
}

// size is how many requests a window has. Without a limit that is any number.
func (l *limiter) size() int {
	if l == nil {
		return 1000
	}
	return l.points
}

// WithMaxCount sets the greatest count of rows that a list takes. The default is 1000, as
// documented today. The older documentation says 200. A larger number plays an API that
// takes more than it documents.
func WithMaxCount(n int) Option {
	return func(s *Server) { s.maxCount = n }
}

// countRefused is the answer to a count above that of WithMaxCount.
func countRefused(most int) *problem {
	p := invalid("pagination.count", "must be less than or equal to "+strconv.Itoa(most))
	p.Status, p.Data, p.bare = http.StatusBadRequest, nil, true
	return p
}
