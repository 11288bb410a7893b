package connector

import (
	"context"
	"math"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
)

const (
	// progressEvery is the least time between two lines. The SDK logs its counts
	// as often.
	progressEvery = 10 * time.Second
	// paceKept is what a minute still counts in the pace after another one: a
	// half after three, so that a limit that others use up shows.
	paceKept = 0.8
)

// A pace is how fast this process gets answers about users and groups.
type pace struct {
	// minute is when the present one began.
	minute, last, logged time.Time
	present, past        yield
}

// A yield is how many answers came in how much time, and how many of them left
// nothing more of their kind to ask for.
type yield struct{ minutes, answers, ended float64 }

// answered counts an answer about a user or group: a detail, or a page of
// members or invites, which may be the last. Now and then it logs what the SDK's
// counts do not tell: how fast they come, and how long the rest will take. The
// process that takes up a sync goes on with the count. It begins anew if the
// lists are read again.
func (s session) answered(ctx context.Context, last bool) error {
	y, done, due := s.tally.answered(s.syncID, last, time.Now())
	if !due {
		return nil
	}
	var reading int64
	for _, typeID := range []string{typeUser, typeGroup} {
		began, err := s.reading(ctx, typeID)
		if err != nil {
			return err
		}
		reading = max(reading, began)
	}
	key := strconv.FormatInt(reading, 10)
	before, _, err := sessionGet[int](ctx, s, partProgress, key)
	if err != nil {
		return err
	}
	done += before
	kept, err := sessionSet(ctx, s, partProgress, map[string]int{key: done})
	if err != nil {
		return err
	}
	if !kept {
		s.tally.add(s.syncID, partProgress, done)
	}
	total, known, err := s.toAnswer(ctx)
	if err != nil {
		return err
	}
	ofTotal, estimate := zap.Skip(), zap.Skip()
	if known {
		done = min(done, total) // What is done again after a checkpoint is counted again.
		ofTotal = zap.Int("total", total)
	}
	if known && y.ended > 0 {
		estimate = zap.Stringer("left", roughly(float64(total-done)*y.minutes/y.ended))
	}
	ctxzap.Extract(ctx).Info("reading users and groups",
		zap.Int("done", done), ofTotal, zap.Int("per_minute", int(math.Round(y.answers/y.minutes))), estimate)
	return nil
}

// toAnswer is how many details and lists of users and groups a sync asks for, or
// false if no list says how many users or groups there are. All lists have been
// read by the time of the first detail; a type whose list was not is not synced.
func (s session) toAnswer(ctx context.Context) (int, bool, error) {
	users, readUsers, err := s.rows(ctx, typeUser)
	if err != nil {
		return 0, false, err
	}
	groups, readGroups, err := s.rows(ctx, typeGroup)
	if err != nil {
		return 0, false, err
	}
	invites, readInvites, err := s.rows(ctx, typeInvite)
	each := 3 // The detail, the members, the invites.
	if readInvites && invites == 0 {
		each = 2
	}
	return users + groups*each, readUsers || readGroups, err
}

// answered counts an answer. If a line is due, which one caller alone is told,
// it returns the yield, and how many ended since the last line.
func (t *tally) answered(syncID string, last bool, now time.Time) (yield, int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(syncID)
	ended := 0
	if last {
		ended = 1
	}
	t.counts[partProgress] += ended
	p := &t.pace
	// The first answer starts the clock, as does one after a pause: the sync was
	// broken off, and this process takes it up.
	if p.minute.IsZero() || now.Sub(p.last) >= longestOutage {
		*p = pace{minute: now, last: now, logged: now}
		return yield{}, 0, false
	}
	p.last = now
	p.present.answers++
	p.present.ended += float64(ended)
	p.present.minutes = now.Sub(p.minute).Minutes()
	// A limit lets requests through in bursts, one a minute. Over whole minutes
	// the pace is the same wherever in a burst they begin; over parts of one it is
	// not, and no ground for an estimate.
	if whole := math.Floor(p.present.minutes); whole > 0 {
		kept := math.Pow(paceKept, whole)
		p.past.minutes = p.past.minutes*kept + whole
		p.past.answers = p.past.answers*kept + p.present.answers
		p.past.ended = p.past.ended*kept + p.present.ended
		p.minute, p.present = p.minute.Add(time.Duration(whole)*time.Minute), yield{}
	}
	if now.Sub(p.logged) < progressEvery {
		return yield{}, 0, false
	}
	p.logged = now
	done := t.counts[partProgress]
	t.counts[partProgress] = 0
	if p.past.minutes > 0 {
		return p.past, done, true
	}
	return yield{minutes: p.present.minutes, answers: p.present.answers}, done, true
}

// roughly is as much of a time as an estimate is good for.
func roughly(minutes float64) time.Duration {
	unit := time.Minute
	if minutes < 10 {
		unit = 10 * time.Second
	}
	return time.Duration(math.Ceil(minutes*float64(time.Minute)/float64(unit))) * unit
}
