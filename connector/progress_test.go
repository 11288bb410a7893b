package connector

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	sdksession "github.com/conductorone/baton-sdk/pkg/session"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// newDelayedFixture returns a connector whose requests for users and groups each
// take a while.
func newDelayedFixture(t *testing.T, ws *sim.Workspace, delay time.Duration, opts ...sim.Option) *fixture {
	t.Helper()
	f := newInMemoryFixture(t, ws, opts...)
	f.delayDetails(t, delay)
	return f
}

// delayDetails makes each request for a user or group take a while.
func (f *fixture) delayDetails(t *testing.T, delay time.Duration) {
	t.Helper()
	f.sim.ClearFaults()
	for _, operation := range []string{"getUser", "getUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup"} {
		f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultDelay, Delay: delay})
	}
}

func checkProgress(t *testing.T, logs *observer.ObservedLogs, began time.Time, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, progressLines(logs, began)); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// progressLines are the lines of progress in the log, each with the seconds
// since began.
func progressLines(logs *observer.ObservedLogs, began time.Time) []string {
	var lines []string
	for _, e := range logs.FilterMessage("reading users and groups").All() {
		words := []string{fmt.Sprintf("%gs", e.Time.Sub(began).Seconds())}
		fields := e.ContextMap()
		for _, f := range e.Context {
			if f.Type == zapcore.SkipType {
				continue
			}
			words = append(words, fmt.Sprintf("%s=%v", f.Key, fields[f.Key]))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

// A sync logs every ten seconds how much is done, the total if the lists were
// read, and the time left after the first minute.
func TestProgress(t *testing.T) {
	t.Parallel()
	withoutInvites := usersAndEmptyGroups(2, 2)
	withoutInvites.Invites = nil
	for name, c := range map[string]struct {
		ws    *sim.Workspace
		delay time.Duration
		opts  []sim.Option
		types []string // Empty means all.
		store sessions.SessionStore
		want  []string
	}{
		"all": {ws: usersAndEmptyGroups(2, 1), delay: 20 * time.Second, want: []string{
			"40s done=2 total=5 per_minute=3",
			"60s done=3 total=5 per_minute=3",
			"80s done=4 total=5 per_minute=3 left=20s",
			"100s done=5 total=5 per_minute=3 left=0s",
		}},
		"no invites": {ws: withoutInvites, delay: 20 * time.Second, want: []string{
			"40s done=2 total=6 per_minute=3",
			"60s done=3 total=6 per_minute=3",
			"80s done=4 total=6 per_minute=3 left=40s",
			"100s done=5 total=6 per_minute=3 left=20s",
			"120s done=6 total=6 per_minute=3 left=0s",
		}},
		"users only": {ws: usersAndEmptyGroups(4, 2), delay: 20 * time.Second, types: []string{typeUser}, want: []string{
			"40s done=2 total=4 per_minute=3",
			"60s done=3 total=4 per_minute=3",
			"80s done=4 total=4 per_minute=3 left=0s",
		}},
		// The list of invites was not read, so groups may have some.
		"groups only": {ws: withoutInvites, delay: 20 * time.Second, types: []string{typeGroup}, want: []string{
			"40s done=2 total=6 per_minute=3",
			"60s done=3 total=6 per_minute=3",
			"80s done=4 total=6 per_minute=3 left=40s",
			"100s done=5 total=6 per_minute=3 left=20s",
			"120s done=6 total=6 per_minute=3 left=0s",
		}},
		"details in the lists": {ws: usersAndEmptyGroups(90, 2), delay: 20 * time.Second, opts: []sim.Option{sim.WithPermissionsInLists()}, want: []string{
			"40s done=94 total=96 per_minute=3",
			"60s done=95 total=96 per_minute=3",
			"80s done=96 total=96 per_minute=3 left=0s",
		}},
		// Without a store every detail is read twice.
		"no store": {ws: usersAndEmptyGroups(1, 1), delay: 20 * time.Second, store: &sdksession.NoOpSessionStore{}, want: []string{
			"40s done=2 per_minute=3",
			"60s done=3 per_minute=3",
			"80s done=4 per_minute=3",
			"100s done=5 per_minute=3",
			"120s done=6 per_minute=3",
		}},
		"fast": {ws: usersAndEmptyGroups(20, 1), delay: time.Second, want: []string{
			"11s done=11 total=23 per_minute=60",
			"21s done=21 total=23 per_minute=60",
		}},
		// The first line is due ten seconds after the first answer.
		"short": {ws: usersAndEmptyGroups(4, 2), delay: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newDelayedFixture(t, c.ws, c.delay, c.opts...)
				if c.store != nil {
					f.session = c.store
				}
				ctx, logs := withObservedLog(t)
				rows := map[string][]*v2.Resource{}
				if c.types == nil {
					rows = f.listAllIn(ctx, t)
				}
				for _, typeID := range c.types {
					rows[typeID] = must(f.listType(ctx, typeID))(t)
				}
				began := time.Now()
				f.readEntitlementsAndGrants(ctx, t, usersAndGroups(rows))
				checkProgress(t, logs, began, c.want...)
			})
		})
	}
}

// A targeted sync reads no list, so its total is unknown.
func TestProgress_TargetedSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newDelayedFixture(t, usersAndEmptyGroups(5, 0), 20*time.Second)
		ctx, logs := withObservedLog(t)
		var rows []*v2.Resource
		for i := range 5 {
			rows = append(rows, stub(typeUser, fmt.Sprintf("u%03d", i)))
		}
		began := time.Now()
		f.readEntitlements(ctx, t, rows)
		checkProgress(t, logs, began,
			"40s done=2 per_minute=3",
			"60s done=3 per_minute=3",
			"80s done=4 per_minute=3",
			"100s done=5 per_minute=3",
		)
	})
}

// Several workers together log once in ten seconds.
func TestProgress_ManyWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const workers, each = 8, 81
		f := newDelayedFixture(t, usersAndEmptyGroups(workers*each, 0), time.Second)
		ctx, logs := withObservedLog(t)
		rows := f.listAllIn(ctx, t)[typeUser]
		began := time.Now()
		var group sync.WaitGroup
		for share := range slices.Chunk(rows, each) {
			group.Go(func() {
				for _, r := range share {
					if _, err := f.entitlements(ctx, r); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		checkProgress(t, logs, began,
			"11s done=81 total=648 per_minute=480",
			"21s done=161 total=648 per_minute=480",
			"31s done=241 total=648 per_minute=480",
			"41s done=321 total=648 per_minute=480",
			"51s done=401 total=648 per_minute=480",
			"61s done=481 total=648 per_minute=480 left=30s",
			"71s done=561 total=648 per_minute=480 left=20s",
			"81s done=641 total=648 per_minute=480 left=10s",
		)
	})
}

// A process that resumes a sync counts from zero. It knows a total only if it
// reads the lists again.
func TestProgress_ResumedSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newDelayedFixture(t, usersAndEmptyGroups(30, 0), 4*time.Second)
		ctx, logs := withObservedLog(t)
		rows := f.listAllIn(ctx, t)[typeUser]
		began := time.Now()
		f.readEntitlements(ctx, t, rows[:9])
		f = f.inAnotherProcess()
		f.delayDetails(t, 15*time.Second)
		f.readEntitlements(ctx, t, rows[9:15])
		f = f.inAnotherProcess()
		f.listAllIn(ctx, t)
		f.readEntitlements(ctx, t, rows[:3])
		checkProgress(t, logs, began,
			"16s done=4 total=30 per_minute=15",
			"28s done=7 total=30 per_minute=15",
			"66s done=2 per_minute=4",
			"81s done=3 per_minute=4",
			"96s done=4 per_minute=4",
			"111s done=5 per_minute=4",
			"126s done=6 per_minute=4",
			"156s done=2 total=30 per_minute=4",
			"171s done=3 total=30 per_minute=4",
		)
	})
}

// Requests that are repeated after a checkpoint are counted again, and done
// never exceeds the total.
func TestProgress_RepeatedAfterACheckpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := usersAndEmptyGroups(0, 2)
		ws.Invites = nil
		f := newDelayedFixture(t, ws, 20*time.Second)
		ctx, logs := withObservedLog(t)
		groups := f.listAllIn(ctx, t)[typeGroup]
		began := time.Now()
		f.readEntitlementsAndGrants(ctx, t, groups)
		for _, g := range groups { // The checkpoint was before the members.
			must(f.grants(ctx, g))(t)
		}
		checkProgress(t, logs, began,
			"40s done=2 total=4 per_minute=3",
			"60s done=3 total=4 per_minute=3",
			"80s done=4 total=4 per_minute=3 left=0s",
			"100s done=4 total=4 per_minute=3 left=0s",
			"120s done=4 total=4 per_minute=3 left=0s",
		)
	})
}

// Progress starts anew with the next sync, and the rate starts anew after a
// pause.
func TestProgress_NextSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newDelayedFixture(t, usersAndEmptyGroups(12, 0), 20*time.Second)
		ctx, logs := withObservedLog(t)
		rows := f.listAllIn(ctx, t)[typeUser]
		began := time.Now()
		f.readEntitlements(ctx, t, rows[:4])
		<-time.After(longestOutage)
		f.readEntitlements(ctx, t, rows[4:6])
		f.session = statetest.New()
		for _, r := range rows[:2] {
			if _, _, err := f.syncer(r).Entitlements(ctx, r, rs.SyncOpAttrs{Session: f.session, SyncID: "another"}); err != nil {
				t.Fatal(err)
			}
		}
		checkProgress(t, logs, began,
			"40s done=2 total=12 per_minute=3",
			"60s done=3 total=12 per_minute=3",
			"80s done=4 total=12 per_minute=3 left=2m40s",
			"720s done=6 total=12 per_minute=3",
			"760s done=2 per_minute=3",
		)
	})
}

// A list of several pages is several requests and counts as done once.
func TestProgress_LongMemberLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := usersAndEmptyGroups(8, 2)
		for _, u := range ws.Users {
			ws.Groups[0].Members = append(ws.Groups[0].Members, u.Email)
		}
		f := newDelayedFixture(t, ws, 20*time.Second)
		ctx, logs := withObservedLog(t)
		groups := f.listAllIn(ctx, t)[typeGroup]
		f.client = must(segmentapi.New(f.sim.Token(), segmentapi.WithHTTPClient(&http.Client{Transport: f.sim.RoundTripper()}), segmentapi.WithPageSize(2)))(t)
		began := time.Now()
		f.readEntitlementsAndGrants(ctx, t, groups)
		checkProgress(t, logs, began,
			"40s done=2 total=14 per_minute=3",
			"60s done=2 total=14 per_minute=3",
			"80s done=2 total=14 per_minute=3 left=12m0s",
			"100s done=2 total=14 per_minute=3 left=12m0s",
			"120s done=3 total=14 per_minute=3 left=11m0s",
			"140s done=4 total=14 per_minute=3 left=6m30s",
			"160s done=5 total=14 per_minute=3 left=5m50s",
			"180s done=6 total=14 per_minute=3 left=5m10s",
		)
	})
}

// A rate limit lets requests through in bursts. After the first minute the
// estimate is right in every part of a minute.
func TestProgress_RateLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{60, 600} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, usersAndEmptyGroups(int(12*limit), 0), sim.WithLimit(int(limit)))
				f.delayDetails(t, 50*time.Millisecond)
				ctx, logs := withObservedLog(t)
				for _, r := range must(f.listType(ctx, typeUser))(t) {
					for {
						_, err := f.entitlements(ctx, r)
						if err == nil {
							break
						}
						if status.Code(err) != codes.Unavailable {
							t.Fatal(err)
						}
						<-time.After(time.Second) // The SDK waits as well, for the time in the error.
					}
				}
				ended, estimates := time.Now(), 0
				for _, e := range logs.FilterMessage("reading users and groups").All() {
					fields := e.ContextMap()
					text, ok := fields["left"].(string)
					if !ok {
						continue
					}
					estimates++
					rate, _ := fields["per_minute"].(int64)
					left, took := must(time.ParseDuration(text))(t), ended.Sub(e.Time)
					if rate < limit*8/10 || rate > limit || left < took*9/10-15*time.Second || left > took*11/10+time.Minute {
						t.Errorf("%v, and it took %s", fields, took)
					}
				}
				if estimates < 12 { // One for each burst of requests, at least.
					t.Errorf("%d estimates", estimates)
				}
			})
		})
	}
}

// The estimate follows a rate that changes for good.
func TestProgress_RateChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p progress
		ctx, logs := withObservedLog(t)
		p.listBegun("sync", typeUser)
		p.listEnded("sync", typeUser, 6000)
		answers := func(n int, each time.Duration) {
			for range n {
				<-time.After(each)
				p.answered(ctx, "sync", typeUser, true)
			}
		}
		answers(1800, time.Second) // Half an hour.
		began := time.Now()
		answers(4200, time.Second/4)
		var got []string
		for _, line := range progressLines(logs, began) {
			for _, at := range []string{"-9s", "291s", "591s", "891s"} {
				if strings.HasPrefix(line, at+" ") {
					got = append(got, line)
				}
			}
		}
		if diff := cmp.Diff([]string{
			"-9s done=1791 total=6000 per_minute=60 left=1h11m0s",
			"291s done=2964 total=6000 per_minute=167 left=19m0s", // It took 13m0s,
			"591s done=4164 total=6000 per_minute=216 left=8m40s", // 7m39s,
			"891s done=5364 total=6000 per_minute=232 left=2m50s", // and 2m39s.
		}, got); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}
