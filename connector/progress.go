package connector

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
)

// progressEvery is the least time between two lines. The SDK logs its counts as
// often.
const progressEvery = 10 * time.Second

// progress counts the answers about users and groups that this process gets in a
// sync, for a line in the log now and then. The zero value is ready.
type progress struct {
	mu     sync.Mutex
	syncID string
	// done is how much has been read of each type: details, and lists of members
	// and of invites. rows is how long the type's list was, if it was read to its
	// end in this process.
	done, rows map[string]int
	// minute is when the present minute began, last and logged are the times of the
	// latest answer and line.
	minute, last, logged time.Time
	present, past        counts
}

// counts are how many answers came in how much time, and how many of them ended
// something: a detail does, and the last page of a list.
type counts struct{ minutes, answers, ended float64 }

// minuteWeight is how much a minute still counts in the rate one minute later: half
// after three, so that a limit that others use up shows.
const minuteWeight = 0.8

// enter makes p the progress of a sync. The lock is held.
func (p *progress) enter(syncID string) {
	if p.done == nil || p.syncID != syncID {
		p.syncID, p.done, p.rows = syncID, map[string]int{}, map[string]int{}
		p.minute = time.Time{}
	}
}

// listBegun drops what was counted of a type, because its list is read anew.
func (p *progress) listBegun(syncID, typeID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(syncID)
	delete(p.done, typeID)
	delete(p.rows, typeID)
}

// listEnded notes how many rows the list of a type had.
func (p *progress) listEnded(syncID, typeID string, rows int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(syncID)
	p.rows[typeID] = rows
}

// add counts details that need no request.
func (p *progress) add(syncID, typeID string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(syncID)
	p.done[typeID] += n
}

// answered counts an answer about a user or group: a detail, or a page of members
// or invites, which may be the last. Every ten seconds it logs how much is done of
// how much, how many answers come in a minute, and how long the rest will take. If
// another process read the lists, it logs neither a total nor an estimate.
func (p *progress) answered(ctx context.Context, syncID, typeID string, ends bool) {
	if fields := p.count(syncID, typeID, ends, time.Now()); fields != nil {
		ctxzap.Extract(ctx).Info("reading users and groups", fields...)
	}
}

// count counts an answer and returns the fields of a line if one is due.
func (p *progress) count(syncID, typeID string, ends bool, now time.Time) []zap.Field {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(syncID)
	if ends {
		p.done[typeID]++
	}
	// The first answer starts the clock. So does one after a pause: the sync was
	// interrupted, and this process resumes it.
	if p.minute.IsZero() || now.Sub(p.last) >= longestOutage {
		p.minute, p.last, p.logged = now, now, now
		p.present, p.past = counts{}, counts{}
		return nil
	}
	p.last = now
	p.present.answers++
	if ends {
		p.present.ended++
	}
	p.present.minutes = now.Sub(p.minute).Minutes()
	// A rate limit lets requests through in bursts, about one a minute. Over whole
	// minutes the rate is the same wherever in a burst they begin; over parts of a
	// minute it is not, and no ground for an estimate.
	if whole := math.Floor(p.present.minutes); whole > 0 {
		weight := math.Pow(minuteWeight, whole)
		p.past = counts{
			minutes: p.past.minutes*weight + whole,
			answers: p.past.answers*weight + p.present.answers,
			ended:   p.past.ended*weight + p.present.ended,
		}
		p.minute, p.present = p.minute.Add(time.Duration(whole)*time.Minute), counts{}
	}
	if now.Sub(p.logged) < progressEvery {
		return nil
	}
	p.logged = now
	return p.fields()
}

// fields are those of one line.
func (p *progress) fields() []zap.Field {
	rate := p.past
	if rate.minutes == 0 {
		rate = counts{minutes: p.present.minutes, answers: p.present.answers}
	}
	done := p.done[typeUser] + p.done[typeGroup]
	total, known := p.total()
	if known {
		done = min(done, total) // Work that is repeated after a checkpoint is counted again.
	}
	fields := []zap.Field{zap.Int("done", done)}
	if known {
		fields = append(fields, zap.Int("total", total))
	}
	fields = append(fields, zap.Int("per_minute", int(math.Round(rate.answers/rate.minutes))))
	if known && rate.ended > 0 {
		fields = append(fields, zap.Stringer("left", roughly(float64(total-done)*rate.minutes/rate.ended)))
	}
	return fields
}

// total is how many details and lists of users and groups a sync asks for, or
// false if this process has read neither list. A type whose list was not read is
// not synced.
func (p *progress) total() (int, bool) {
	users, readUsers := p.rows[typeUser]
	groups, readGroups := p.rows[typeGroup]
	each := 3 // The detail, the members, the invites.
	if invites, read := p.rows[typeInvite]; read && invites == 0 {
		each = 2
	}
	return users + groups*each, readUsers || readGroups
}

// roughly rounds an estimate up to what it is good for.
func roughly(minutes float64) time.Duration {
	unit := time.Minute
	if minutes < 10 {
		unit = 10 * time.Second
	}
	return time.Duration(math.Ceil(minutes*float64(time.Minute)/float64(unit))) * unit
}
