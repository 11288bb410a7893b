package syncstate

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdksession "github.com/conductorone/baton-sdk/pkg/session"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
)

// check fails the test for the first of errors.
func check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// listed stores lists of users and sources, as a sync does.
func listed(t *testing.T, s Sync) {
	t.Helper()
	ctx := t.Context()
	check(t,
		s.BeginList(ctx, "user"),
		s.AddRows(ctx, "user", []Row{{ID: "u1", Name: "Ada", Email: "Ada@example.com"}, {ID: "u2", Name: "Bo", Email: "bo@example.com"}}),
		s.Mark(ctx, Ended("user"), 2),
		s.Mark(ctx, OwnerSeen("user"), 1),
		s.Mark(ctx, OwnersNoted("user"), 1),
		s.BeginList(ctx, "source"),
		s.AddRows(ctx, "source", []Row{{ID: "s1", Name: "Web"}}),
		s.Skip(ctx, "source", "half of the sources"),
		s.Mark(ctx, Ended("source"), 1),
		s.Mark(ctx, Static("source"), 1),
		KeepSubjects(ctx, s, "user", map[string]string{"u1": "what Ada holds"}),
	)
	_, err := s.AddUnknown(ctx, "user", "u1", map[string]int{"DESTINATION": 3})
	check(t, err)
	_, _, err = s.AddGone(ctx, "user", "u2")
	check(t, err)
}

// known returns everything that s knows of a type.
func known(t *testing.T, s Sync, typeID string) map[string]any {
	t.Helper()
	ctx := t.Context()
	out := map[string]any{}
	marks, err := s.Marks(ctx, Begun(typeID), Ended(typeID), Static(typeID), NamesRead(typeID), OwnerSeen(typeID), OwnersNoted(typeID))
	check(t, err)
	for m, value := range marks {
		out[m.what] = value
	}
	names, err := s.AllNames(ctx, typeID)
	check(t, err)
	byID, err := s.Names(ctx, typeID, slices.Collect(maps.Keys(names)))
	check(t, err)
	if diff := cmp.Diff(names, byID); diff != "" {
		t.Errorf("names (-all +by id):\n%s", diff)
	}
	for id, name := range names {
		out["name of "+id] = name
	}
	ids, err := s.IDsByEmail(ctx, typeID, []string{"ada@EXAMPLE.com", "bo@example.com"})
	check(t, err)
	for email, id := range ids {
		out[email] = id
	}
	held, ok, err := Subject[string](ctx, s, typeID, "u1")
	check(t, err)
	if ok {
		out["subject u1"] = held
	}
	return out
}

// BeginList drops everything that is known of its type, in memory and in the store.
// Other types stay.
func TestBeginList_DropsOnlyTheType(t *testing.T) {
	t.Parallel()
	for name, another := range map[string]bool{"in the same process": false, "in another process": true} {
		store := statetest.New()
		s := open(new(Tracker), store, "sync")
		listed(t, s)
		if another {
			s = open(new(Tracker), store, "sync")
		}
		sources := known(t, s, "source")
		if len(sources) != 4 || len(known(t, s, "user")) != 9 {
			t.Fatalf("%s: sources %v, users %v", name, sources, known(t, s, "user"))
		}
		check(t, s.BeginList(t.Context(), "user"))
		if diff := cmp.Diff(map[string]any{}, known(t, s, "user")); diff != "" {
			t.Errorf("%s: of users is known (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(sources, known(t, s, "source")); diff != "" {
			t.Errorf("%s: of sources is known (-want +got):\n%s", name, diff)
		}
		if gone, first, err := s.AddGone(t.Context(), "user", "u2"); gone != 1 || !first || err != nil {
			t.Errorf("%s: gone %d, first %v, %v", name, gone, first, err)
		}
		check(t, s.Report(t.Context(), noCheck, func(unknown map[string]int, skipped []string) {
			if len(unknown) != 0 || !slices.Equal(skipped, []string{"half of the sources"}) {
				t.Errorf("%s: the report has %v and %v", name, unknown, skipped)
			}
		}))
		check(t, s.BeginList(t.Context(), "source"))
		if diff := cmp.Diff(map[string]any{}, known(t, s, "source")); diff != "" {
			t.Errorf("%s: of sources is known (-want +got):\n%s", name, diff)
		}
	}
}

// If a process is killed while it drops a list, the next process drops the rest.
func TestBeginList_Interrupted(t *testing.T) {
	t.Parallel()
	whole := statetest.New()
	listed(t, open(new(Tracker), whole, "sync"))
	for calls := 0; ; calls++ {
		store := &failingStore{Memory: &statetest.Memory{Values: maps.Clone(whole.Values)}, after: calls}
		err := open(new(Tracker), store, "sync").BeginList(t.Context(), "user")
		done := err == nil
		store.after = -1
		s := open(new(Tracker), store, "sync")
		check(t, s.BeginList(t.Context(), "user"))
		if diff := cmp.Diff(map[string]any{}, known(t, s, "user")); diff != "" {
			t.Errorf("killed after %d calls (-want +got):\n%s", calls, diff)
		}
		for key := range store.Values {
			if strings.Contains(key, "user/u2") || strings.Contains(key, "u1") {
				t.Errorf("killed after %d calls, the store has %s", calls, key)
			}
		}
		if done {
			if calls < 4 {
				t.Errorf("dropping takes %d calls, so this shows little", calls)
			}
			return
		}
	}
}

// A failingStore is a store in which changes fail after a number of them.
type failingStore struct {
	*statetest.Memory
	after int
}

func (f *failingStore) fail() error {
	if f.after == 0 {
		return context.DeadlineExceeded
	}
	f.after--
	return nil
}

func (f *failingStore) Clear(ctx context.Context, opts ...sessions.SessionStoreOption) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.Memory.Clear(ctx, opts...)
}

func (f *failingStore) Delete(ctx context.Context, key string, opts ...sessions.SessionStoreOption) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.Memory.Delete(ctx, key, opts...)
}

func (f *failingStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	if err := f.fail(); err != nil {
		return err
	}
	return f.Memory.SetMany(ctx, values, opts...)
}

// If no rows were stored, as at first and after a request that failed, there is
// nothing to clear. The SDK logs a line for each Clear.
func TestBeginList_WithoutRowsClearsNothing(t *testing.T) {
	t.Parallel()
	store := &failingStore{Memory: statetest.New()}
	for range 2 {
		check(t, open(new(Tracker), store, "sync").BeginList(t.Context(), "user"))
	}
}

// Another process may begin a list again, so what is remembered is asked for again
// after some time.
func TestMarksAndNames_AreForgottenInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := statetest.New()
		s := open(new(Tracker), store, "sync")
		listed(t, s)
		known(t, s, "source")
		s.Count("rows", 1)
		check(t, open(new(Tracker), store, "sync").BeginList(t.Context(), "source"))
		<-time.After(maxAge)
		if got := known(t, s, "source"); len(got) != 0 {
			t.Errorf("after %s it remembers %v", maxAge, got)
		}
		if s.Counted("rows") != 1 {
			t.Error("the counts are gone")
		}
	})
}

// Values that were found are not read again in the same sync. Missing ones are, and
// another sync knows none.
func TestMarksAndNames_AreRemembered(t *testing.T) {
	t.Parallel()
	store := statetest.New()
	tracker := new(Tracker)
	listed(t, open(new(Tracker), store, "sync"))
	s := open(tracker, store, "sync")
	before := known(t, s, "source")
	clear(store.Values)
	marks, err := s.Marks(t.Context(), Ended("source"), Static("source"), NamesRead("source"))
	check(t, err)
	names, err := s.Names(t.Context(), "source", []string{"s1", "s2"})
	check(t, err)
	if marks[Ended("source")] != 1 || names["s1"] != "Web" || len(marks) != 2 || len(names) != 1 {
		t.Errorf("of %v is known %v and %v", before, marks, names)
	}
	check(t, s.Mark(t.Context(), NamesRead("source"), 1))
	if _, set, err := s.Marked(t.Context(), NamesRead("source")); !set || err != nil {
		t.Errorf("a mark that was missing is not found: %v", err)
	}
	other := open(tracker, statetest.New(), "another")
	if got := known(t, other, "source"); len(got) != 0 {
		t.Errorf("another sync knows %v", got)
	}
}

// Without a store nothing is known, and nothing fails.
func TestSync_WithoutAStore(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]sessions.SessionStore{"none": nil, "disabled": &sdksession.NoOpSessionStore{}} {
		s := open(new(Tracker), store, "sync")
		listed(t, s)
		if usable, err := s.Usable(t.Context()); usable || err != nil {
			t.Errorf("%s: usable %v, %v", name, usable, err)
		}
		if got := known(t, s, "user"); len(got) != 0 {
			t.Errorf("%s: knows %v", name, got)
		}
		if gone, first, err := s.AddGone(t.Context(), "user", "u2"); gone != 1 || first || err != nil {
			t.Errorf("%s: counts %d as gone, first %v, %v", name, gone, first, err)
		}
	}
}

// Keys of any length and of any bytes are kept apart.
func TestKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	s := open(new(Tracker), statetest.New(), "sync")
	ids := []string{"", "a", "a/b", long, long + "y", "\xff"}
	for _, id := range ids {
		check(t, s.AddRows(t.Context(), "user", []Row{{ID: id, Name: "name of " + id, Email: id + "@example.com"}}))
		check(t, KeepSubjects(t.Context(), s, "user", map[string]string{id: "held by " + strings.ToValidUTF8(id, "?")}))
		_, _, err := s.AddGone(t.Context(), "user", id)
		check(t, err)
	}
	s = open(new(Tracker), s.store, "sync")
	names, err := s.Names(t.Context(), "user", append(ids, "b", long+"z"))
	check(t, err)
	if len(names) != len(ids) || names[long] != "name of "+long || names[long+"y"] != "name of "+long+"y" {
		t.Errorf("%d names", len(names))
	}
	for _, id := range ids {
		held, ok, err := Subject[string](t.Context(), s, "user", id)
		if !ok || err != nil || held != "held by "+strings.ToValidUTF8(id, "?") {
			t.Errorf("%.20q: %q, %v, %v", id, held, ok, err)
		}
	}
	if gone, first, err := s.AddGone(t.Context(), "user", long); gone != len(ids) || first || err != nil {
		t.Errorf("%d have gone, one for the first time %v, %v", gone, first, err)
	}
	for _, key := range []string{long, strings.Repeat("é", maxKey)} {
		if len(shortKey(key)) > maxKey {
			t.Errorf("the key of %d bytes is too long", len(shortKey(key)))
		}
	}
}

// The report is made once in a sync, whatever the number of processes and calls.
func TestReport_Once(t *testing.T) {
	t.Parallel()
	store := statetest.New()
	s := open(new(Tracker), store, "sync")
	listed(t, s)
	_, err := s.AddUnknown(t.Context(), "group", "g1", map[string]int{"DESTINATION": 1, "nothing": 2})
	check(t, err)
	var reports []map[string]int
	for _, tracker := range []*Tracker{s.tracker, s.tracker, new(Tracker)} {
		check(t, open(tracker, store, "sync").Report(t.Context(), noCheck, func(unknown map[string]int, _ []string) { reports = append(reports, unknown) }))
	}
	if diff := cmp.Diff([]map[string]int{{"DESTINATION": 4, "nothing": 2}}, reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
}

func noCheck() error { return nil }

// Each process checks once before it reports. A report whose check fails is not made,
// and the next call of any process checks again.
func TestReport_ChecksInEachProcess(t *testing.T) {
	t.Parallel()
	store, tracker := statetest.New(), new(Tracker)
	failure := errors.New("no owner")
	reports, checks := 0, 0
	report := func(tracker *Tracker, result error) error {
		return open(tracker, store, "sync").Report(t.Context(),
			func() error { checks++; return result },
			func(map[string]int, []string) { reports++ })
	}
	for i, in := range []*Tracker{tracker, tracker, new(Tracker)} {
		if err := report(in, failure); !errors.Is(err, failure) || reports != 0 || checks != i+1 {
			t.Errorf("call %d: %v, %d reports, %d checks", i, err, reports, checks)
		}
	}
	checks = 0
	for range 2 {
		check(t, report(tracker, nil))
	}
	check(t, report(new(Tracker), nil))
	if reports != 1 || checks != 2 {
		t.Errorf("%d reports and %d checks in two processes", reports, checks)
	}
}

func TestCount_ReportsPowersOfTen(t *testing.T) {
	t.Parallel()
	tracker := new(Tracker)
	var got []int
	for range 4 {
		got = append(got, open(tracker, nil, "sync").Count("why", 30)...)
	}
	if !slices.Equal(got, []int{1, 10, 100}) || open(tracker, nil, "sync").Counted("why") != 120 {
		t.Errorf("reported %v", got)
	}
	if got := open(tracker, nil, "next").Count("why", 1); !slices.Equal(got, []int{1}) {
		t.Errorf("the next sync reported %v", got)
	}
	if open(tracker, nil, "next").Count("why", 0) != nil {
		t.Error("reported nothing")
	}
}

// A countingStore counts the calls that it gets.
type countingStore struct {
	*statetest.Memory
	calls atomic.Int32
}

func (c *countingStore) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	c.calls.Add(1)
	return c.Memory.GetMany(ctx, keys, opts...)
}

func (c *countingStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	c.calls.Add(1)
	return c.Memory.SetMany(ctx, values, opts...)
}

// The workspace of a sync is the one that was kept first. A process asks the store
// for it once in a sync, and another process does so again.
func TestKeepWorkspace(t *testing.T) {
	t.Parallel()
	store := &countingStore{Memory: statetest.New()}
	first := open(new(Tracker), store, "sync")
	for range 3 {
		if got, err := first.KeepWorkspace(t.Context(), "a"); got != "a" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if calls := store.calls.Load(); calls != 2 {
		t.Errorf("%d calls of the store, want one to look and one to keep", calls)
	}
	tracker := new(Tracker)
	for range 3 {
		if got, err := open(tracker, store, "sync").KeepWorkspace(t.Context(), "b"); got != "a" || err != nil {
			t.Errorf("another process: %q, %v", got, err)
		}
	}
	if calls := store.calls.Load(); calls != 3 {
		t.Errorf("%d calls of the store, want one more to look", calls)
	}
	if got, err := open(tracker, statetest.New(), "another sync").KeepWorkspace(t.Context(), "b"); got != "b" || err != nil {
		t.Errorf("another sync: %q, %v", got, err)
	}
	if got, err := (Sync{}).KeepWorkspace(t.Context(), "c"); got != "c" || err != nil {
		t.Errorf("without a store: %q, %v", got, err)
	}
}
