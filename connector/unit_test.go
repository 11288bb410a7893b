package connector

import (
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/segmentapi"
)

func segmentapiUser(id string) segmentapi.User { return segmentapi.User{ID: id} }

func segmentapiGroup(id string) segmentapi.Group { return segmentapi.Group{ID: id} }

// A list whose cursors run in a circle must end in an error, whatever the size
// of the circle and of the way to it; a list of different cursors must not.
func TestFollowFindsEveryCircle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pages := rapid.SliceOfNDistinct(rapid.StringN(1, 8, -1), 1, 60, rapid.ID[string]).Draw(t, "cursors")
		back := rapid.IntRange(0, len(pages)-1).Draw(t, "back")
		var token pageToken
		var err error
		for i, cursor := range pages {
			if token, err = token.follow("listing", cursor); err != nil {
				t.Fatalf("page %d of different ones: %v", i, err)
			}
			if token, err = parsePageToken(token.String()); err != nil || token.Cursor != cursor {
				t.Fatalf("the token does not survive: %+v, %v", token, err)
			}
		}
		for i := range 10 * len(pages) {
			cycle := pages[back:]
			if token, err = token.follow("listing", cycle[i%len(cycle)]); err != nil {
				return
			}
		}
		t.Fatalf("%d pages back from %d were never noticed", back, len(pages))
	})
}

func TestClip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		out := clip(in, limit)
		if len(out) > limit || !utf8.ValidString(out) {
			t.Fatalf("clip(%q, %d) = %q", in, limit, out)
		}
		if utf8.ValidString(in) && len(in) <= limit && out != in {
			t.Fatalf("clip changed %q to %q", in, out)
		}
		if utf8.ValidString(in) && len(in) > limit && limit-len(out) >= utf8.UTFMax {
			t.Fatalf("clip(%q, %d) = %q is shorter than it must be", in, limit, out)
		}
	})
}

func TestOutage(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 1, 14, 9, 0, 0, 0, time.UTC)
	var o outage
	for _, step := range []struct {
		after time.Duration
		took  time.Duration
		ok    bool
		want  time.Duration
	}{
		{after: 0, want: 0},
		{after: 4 * time.Minute, want: 4 * time.Minute},
		{after: 9 * time.Minute, want: 9 * time.Minute},
		{after: 11 * time.Minute, want: 11 * time.Minute},
		{after: 12 * time.Minute, ok: true},
		{after: 13 * time.Minute, want: 0},
		// Nothing was asked for an hour: what failed then says nothing now.
		{after: 73 * time.Minute, want: 0},
		{after: 74 * time.Minute, want: time.Minute},
		// Each takes longer to fail than an outage may last.
		{after: 90 * time.Minute, took: 15 * time.Minute, want: 17 * time.Minute},
	} {
		if step.ok {
			o.end()
		} else if got := o.failed(start.Add(step.after-step.took), start.Add(step.after)); got != step.want {
			t.Errorf("after %s: %s, want %s", step.after, got, step.want)
		}
	}
}

// The SDK tries again for ever after Unavailable, so a long outage ends as
// something else.
func TestLongOutageEndsTheSync(t *testing.T) {
	t.Parallel()
	down := &segmentapi.Error{Operation: "listUsers", StatusCode: http.StatusServiceUnavailable}
	for began, want := range map[time.Duration]codes.Code{time.Minute: codes.Unavailable, 11 * time.Minute: codes.Internal} {
		c := &Connector{}
		c.outage.began, c.outage.last = time.Now().Add(-began), time.Now()
		if got := c.translate("listing users", down, time.Now()); got.Code() != want {
			t.Errorf("after %s: %v, want %s", began, got, want)
		}
	}
}
