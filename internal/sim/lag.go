package sim

import "time"

// A version is the state of the workspace between two commits. A commit is a write, or an
// edit by another administrator.
type version struct {
	// committed is zero for the state with which the server began.
	committed time.Time
	state     *Workspace
	idx       *index
}

// index returns the index of the version's state.
func (v *version) index() *index {
	if v.idx == nil {
		v.idx = newIndex(v.state)
	}
	return v.idx
}

// WithLag makes every read answer by the state as it was d ago, by the server's clock.
// Writes are checked against the newest state, applied to it and answered by it.
// Zero, the default, is no lag. It is not documented whether a read of Segment shows
// the last write.
func WithLag(d time.Duration) Option {
	return func(s *Server) { s.lag = max(0, d) }
}

// WithReplicas makes the reads of one path alternate between n replicas: the first read
// is answered by the newest state, the next by the state as it was lag ago, and the
// replica i by that of i*lag ago. A lag of WithLag is added. One replica, the default, is
// none but the newest state. That Segment reads from replicas is an assumption.
func WithReplicas(n int, lag time.Duration) Option {
	return func(s *Server) { s.replicas, s.replicaLag = n, max(0, lag) }
}

// SetLag changes the lag as WithLag does. A state that was replaced before there was any
// lag is not known: reads show the one that replaced it.
func (s *Server) SetLag(d time.Duration) { s.setMode(WithLag(d)) }

// SetReplicas changes the replicas as WithReplicas does. For states that were replaced
// before it, see SetLag.
func (s *Server) SetReplicas(n int, lag time.Duration) { s.setMode(WithReplicas(n, lag)) }

// setMode applies an option while requests may be under way.
func (s *Server) setMode(opt Option) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opt(s)
}

// maxLag returns how old an answer can be.
func (s *Server) maxLag() time.Duration {
	return s.lag + time.Duration(max(0, s.replicas-1))*s.replicaLag
}

// beginCommit returns the newest version for a change, with the server locked. While no
// read can be late it is the same one every time; otherwise it is a copy. The caller
// removes its index after the change.
func (s *Server) beginCommit() *version {
	now := s.clock()
	if s.maxLag() > 0 {
		s.older = append(s.older, s.newest)
		s.newest = &version{state: s.newest.state.clone()}
	} else {
		s.older = nil
	}
	s.newest.committed = now
	s.forgetVersions(now.Add(-s.maxLag()))
	return s.newest
}

// forgetVersions removes the versions that were replaced at this instant or before.
func (s *Server) forgetVersions(at time.Time) {
	keep := 0
	for i := 1; i < len(s.older); i++ {
		if !s.older[i].committed.After(at) {
			keep = i
		}
	}
	// Move the rest, so that the array does not hold on to what was removed.
	s.older = append([]*version(nil), s.older[keep:]...)
}

// versionFor returns the version that answers the next read of a path, with the server
// locked.
func (s *Server) versionFor(path string) *version {
	lag := s.lag
	if s.replicas > 1 {
		lag += time.Duration(s.readsOf[path]%s.replicas) * s.replicaLag
		s.readsOf[path]++
	}
	at := s.clock().Add(-lag)
	if lag == 0 || len(s.older) == 0 || !s.newest.committed.After(at) {
		return s.newest
	}
	for i := len(s.older) - 1; i > 0; i-- {
		if !s.older[i].committed.After(at) {
			return s.older[i]
		}
	}
	return s.older[0]
}
