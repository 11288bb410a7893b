package segmentapi_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// Two clients of one process and one of another edit a user and a group, and an
// administrator edits them by hand between and during their edits, on servers of every
// kind. The workspace always agrees with the model.
func TestEdits_KeepToTheModel(t *testing.T) {
	t.Parallel()
	onServerKinds(t, func(t *rapid.T, kind serverKind, count func(string)) {
		var held []sim.Permission
		for _, line := range rapid.SliceOfN(rapid.Custom(drawLine), 0, 6).Draw(t, "start") {
			held = addLine(held, line)
		}
		s := kind.draw(t, testWorkspace(held...))
		r := &editRun{modelServer: s, model: newModel(s.Workspace(), "u", "g"), lastProcess: map[string]string{}, count: count}
		r.noteCommits(t)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"edit", "edit", "edit", "edit", "edit", "two", "hand", "wait"}).Draw(t, "step") {
			case "edit":
				r.step(t, false)
			case "two": // The second one must be able to know of the first one, and to begin where that ended.
				r.step(t, !s.isTooOld() && !s.isHarmful())
			case "hand":
				r.editByHand(t)
			case "wait":
				<-time.After(rapid.SampledFrom([]time.Duration{time.Second, 4 * time.Second, 20 * time.Second, 70 * time.Second}).Draw(t, "wait"))
			}
			for id, held := range r.held {
				if got := setOf(holds(s.Workspace(), id)...); !maps.Equal(held, got) {
					t.Fatalf("%s holds %q, want %q", id, got.lines(), held.lines())
				}
			}
		}
	})
}

// An editRun is one run of the model test.
type editRun struct {
	*modelServer
	*model
	// lastProcess made the last edit.
	lastProcess map[string]string
	// failed is set if the last step ended with an error.
	failed *failedStep
	count  func(string)

	mu sync.Mutex
	// committed are the states after each write of the last step.
	committed []*sim.Workspace
}

// noteCommits makes the server note the state after each write.
func (r *editRun) noteCommits(t *rapid.T) {
	for _, e := range editors(r.clients[0].Client) {
		for _, operation := range []string{e.post, e.put} {
			err := r.Committed(operation, 0, func(context.Context) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.committed = append(r.committed, r.Workspace())
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (r *editRun) forgetCommits() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = nil
}

// heldMeanwhile returns the lines that were different from now after a write of the last step.
func (r *editRun) heldMeanwhile(id string, now lineSet) lineSet {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := lineSet{}
	for _, ws := range r.committed {
		lines = union(lines, differing(setOf(holds(ws, id)...), now))
	}
	return lines
}

// A failedStep is which client failed to edit whom.
type failedStep struct {
	first int
	who   string
}

// A handEdit is an administrator's edit of one line.
type handEdit struct {
	id, line string
	takes    bool
	// made is when the edit was made.
	made time.Time
	// moment is the request at which it is made, and hidden is set if nobody else can
	// see what it did: it comes between the last read and the write.
	moment string
	hidden bool
}

func (h *handEdit) edit(ws *sim.Workspace) {
	if h.made.IsZero() {
		h.made = time.Now()
		editPermissions(ws, h.id, func(held []sim.Permission) []sim.Permission {
			if h.takes {
				return dropLine(held, h.line)
			}
			return addLine(dropLine(held, h.line), h.line)
		})
	}
}

// apply makes the edit in the model.
func (h *handEdit) apply(held lineSet) lineSet {
	held = maps.Clone(held)
	delete(held, h.line)
	if !h.takes {
		held[h.line] = true
	}
	return held
}

func (r *editRun) drawHand(t *rapid.T, id string) *handEdit {
	h := &handEdit{id: id, line: drawHeldLine(t, r.held[id])}
	h.takes = r.held[id][h.line]
	if h.takes && len(r.held[id]) < 4 { // The last permission is for TestRevoke_LastPermission.
		return nil
	}
	return h
}

func (r *editRun) editByHand(t *rapid.T) {
	h := r.drawHand(t, rapid.SampledFrom([]string{"u", "g"}).Draw(t, "whose"))
	if h == nil {
		return
	}
	r.count("by hand")
	r.Update(h.edit)
	r.held[h.id] = h.apply(r.held[h.id])
	r.note(h.id, h.line, byHand, h.takes)
	t.Logf("an administrator changes %s of %s", h.line, h.id)
}

// planHand plans an administrator's edit at a random moment of the next edit.
func (r *editRun) planHand(t *rapid.T, e editor) *handEdit {
	if r.isHarmful() || rapid.IntRange(0, 2).Draw(t, "by hand") != 2 { // Which of the two took a label away is not known.
		return nil
	}
	h := r.drawHand(t, e.id)
	if h == nil {
		return nil
	}
	h.moment = rapid.SampledFrom([]string{"before get 1", "before get 2", "before get 3", "before post 1", "before put 1", "after post 1", "after put 1"}).Draw(t, "moment")
	words := strings.Fields(h.moment)
	plan := map[string]func(string, int, func(*sim.Workspace)) error{"before": r.Before, "after": r.After}[words[0]]
	operation := map[string]string{"get": e.get, "post": e.post, "put": e.put}[words[1]]
	if err := plan(operation, r.requests(operation)+int(words[2][0]-'0'), h.edit); err != nil {
		t.Fatal(err)
	}
	replacing := r.form != sim.PostMerges
	// Nor is it known what a POST has replaced that was revoked before it, if it fails.
	replacing = replacing || h.takes && len(r.faults) > 0
	h.hidden = h.moment == "before put 1" || replacing && (h.moment == "before post 1" || h.takes && h.moment != "before get 1")
	t.Logf("an administrator changes %s %s", h.line, h.moment)
	return h
}

// step makes one edit, or two at the same time by both clients of a process.
func (r *editRun) step(t *rapid.T, two bool) {
	first := rapid.IntRange(0, len(r.clients)-1).Draw(t, "client")
	who := rapid.SampledFrom([]string{"user", "group"}).Draw(t, "whom")
	calm := r.failed != nil && rapid.Bool().Draw(t, "after a failure")
	switch {
	case two:
		first = 0
	case calm: // A failed write must not be remembered as done.
		first, who = r.failed.first, r.failed.who
	}
	r.failed = nil
	client := r.clients[first]
	e := editors(client.Client)[who]
	edits := []modelEdit{drawEdit(t, r.held[e.id])}
	var hand *handEdit
	var faulty bool
	r.ClearFaults()
	if two {
		r.count("two at once")
		second := drawEdit(t, r.held[e.id])
		if second.turns != nil && r.does(sim.NormalizeAddsMinimal) { // It would turn what Segment adds to the first.
			second = drawGrant(t)
		}
		edits = append(edits, second)
	} else if !calm {
		faulty = r.drawFaults(t, e.post, e.put)
		hand = r.planHand(t, e)
	}
	r.count("steps")
	if last, ok := r.lastProcess[e.id]; ok && last != client.process && (r.form != sim.PostMerges || r.isHarmful()) {
		pause(r.lag) // Another process must not see what was corrected.
	}
	before := r.held[e.id]
	recent := r.changedByOthers(e.id, client.process, time.Now().Add(-r.lag))
	remembered := r.changedByOthers(e.id, client.process, time.Now().Add(-2*time.Minute))
	r.forgetCommits()
	start, requests := time.Now(), len(r.Journal())
	errs := make([]error, len(edits))
	var running sync.WaitGroup
	for i, edit := range edits {
		running.Go(func() {
			<-time.After(time.Duration(i) * time.Millisecond) // So that the order is known.
			_, errs[i] = edit.do(t.Context(), editors(r.clients[(first+i)%len(r.clients)].Client)[who])
		})
	}
	running.Wait()
	err, took, sent := errors.Join(errs...), time.Since(start), r.Journal()[requests:]
	if hand != nil {
		r.Update(hand.edit) // If there was no such request.
		before = hand.apply(before)
		recent[hand.line] = modelChange{byHand, hand.made, hand.takes}
	}
	v := r.verdict(edits, before, recent, hand)
	v.sure = v.sure && !faulty
	got := setOf(holds(r.Workspace(), e.id)...)
	for i, edit := range edits {
		t.Logf("at %s after %s %s by client %d: %s: %v", start.Format("05.000"), took, e.id, first+i, edit.what, errs[i])
	}
	if wrong := v.judge(got, err); len(wrong) > 0 {
		t.Fatalf("%s after %v and %v:\nheld  %q\nasked %q\ngot   %q\n%s", e.id, err, simtest.Operations(sent), before.lines(), v.asked.lines(), got.lines(), strings.Join(wrong, "\n"))
	}
	if hand == nil && !faulty && len(recent) == 0 {
		if writes := simtest.Writes(sent); maps.Equal(before, v.asked) && len(writes) > 0 && !two && !r.does(sim.NormalizeAddsMinimal) {
			t.Fatalf("no write was needed, there were %v", writes)
		}
		if most := r.most(len(edits), len(remembered) > 0); r.form == sim.PostMerges && v.sure && took > most {
			t.Fatalf("it took %s, more than %s", took, most)
		}
	}
	if err != nil {
		r.count("errors")
		r.failed = &failedStep{first, who}
	}
	r.adopt(e.id, got, v.asked, recent, client.process)
	r.lastProcess[e.id] = client.process
	known := lineSet{} // What the process was asked to change, if only for a moment.
	for i, held := 0, before; i < len(edits); i++ {
		after, _ := edits[i].asked(held, false)
		known, held = union(known, differing(held, after)), after
	}
	for line := range r.heldMeanwhile(e.id, got) {
		by := client.process
		if _, ok := recent[line]; ok || !known[line] {
			by = byHand
		}
		r.note(e.id, line, by, !got[line])
	}
	if hand != nil { // The edit may have overwritten it meanwhile, and overwritten that.
		r.note(e.id, hand.line, byHand, hand.takes)
	}
	if slices.ContainsFunc(sent, func(r sim.Request) bool { return r.Status == http.StatusTooManyRequests }) {
		<-time.After(90 * time.Second)
	}
	if r.isTooOld() { // The next edit could not know of this one.
		pause(r.lag)
	}
}

// verdict returns what may be held after some edits. recent are the lines that others have
// changed so shortly before that a read need not show it.
func (r *editRun) verdict(edits []modelEdit, before lineSet, recent map[string]modelChange, hand *handEdit) verdict {
	v := verdict{before: before, asked: before, harmful: r.isHarmful()}
	v.sure = !v.harmful && !r.isTooOld()
	// A replacement goes by what was read. So does giving back what is missing after a
	// grant.
	replaces := r.form != sim.PostMerges || v.harmful
	addsMinimal := r.does(sim.NormalizeAddsMinimal)
	var adds []string
	if r.form != sim.PostMerges { // It is added again, once a grant has replaced it.
		adds = before.lines()
	}
	minimalIsOpen, dependsOnRecent := v.harmful || addsMinimal, false
	turned := lineSet{} // What edits make of Minimal Workspace Access that may not be there.
	for _, edit := range edits {
		var possible bool
		v.asked, possible = edit.asked(v.asked, addsMinimal)
		certain := v.asked.without(func(line string) bool { return line == minimalLine || recent[line] != modelChange{} })
		if edit.turns != nil && dependsOnRecent {
			turned[edit.turns(minimalLine)] = true
		}
		dependsOnRecent = dependsOnRecent || len(certain) == 0 && len(recent) > 0
		v.sure = v.sure && possible && (!addsMinimal || !edit.changes(minimalLine))
		replaces = replaces || !edit.onlyAdds
		adds = append(adds, edit.adds...)
		for line, c := range maps.Clone(recent) {
			if edit.turns != nil {
				recent[edit.turns(line)] = c
			}
		}
	}
	changes := func(line string) bool {
		return slices.ContainsFunc(edits, func(e modelEdit) bool { return e.changes(line) })
	}
	isWider := func(line string) bool {
		return slices.ContainsFunc(adds, func(a string) bool { return mayBeWider(line, a) })
	}
	for line, c := range recent {
		taken := c.takes && r.lag > 0 // It looks as if a grant had replaced it.
		replaces = replaces || taken || isWider(line)
		v.sure = v.sure && !taken && !changes(line)
	}
	isOpen := func(line string) bool {
		_, ok := recent[line]
		switch {
		case !ok:
			return false
		case changes(line) || v.harmful || isWider(line):
			return true
		case r.lag == 0:
			return hand.hidden
		}
		return replaces
	}
	minimalIsOpen = minimalIsOpen || dependsOnRecent
	v.sure = v.sure && !minimalIsOpen
	v.open = func(line string) bool { return line == minimalLine && minimalIsOpen || turned[line] || isOpen(line) }
	return v
}

// most is how long edits one after the other take at most: a read that is too old, and
// for each of them the reads that confirm it, and a second look.
func (r *editRun) most(edits int, contradicted bool) time.Duration {
	shown := r.lag
	if r.lag > 0 {
		shown += 2 * time.Second
	}
	most := shown + time.Duration(edits)*(2*shown+1500*time.Millisecond)
	if contradicted {
		most += r.settleTime
	}
	return most
}
