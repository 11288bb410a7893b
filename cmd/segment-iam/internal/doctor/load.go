package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

const (
	// mostAtOnce is how many requests a burst has at most. A sync sends half as many.
	mostAtOnce = 64
	// unknownWindow is the size of the window if no answer shows it: the least that Segment
	// documents.
	unknownWindow = 60
)

const atOnce = "requests at the same time"

// tryLoad sends requests at the same time, at most a quarter of the window.
func (w *workspace) tryLoad(ctx context.Context, o Options) Check {
	window, remaining := unknownWindow, unknownWindow
	for _, l := range w.limits {
		window, remaining = max(window, l.used+l.remaining), l.remaining
	}
	n := min(mostAtOnce, window/4)
	c := Check{
		Question: 33, Name: atOnce, Assumed: "not limited, or those above a limit are answered with 429",
		Means: "A sync finds the limit and keeps to it. Set --workers to less if others use the token.",
	}
	if remaining < n {
		c.Seen = "not tried: too little of the window is left"
		return c.decide(0, false)
	}
	statuses := make([]int, n)
	var burst sync.WaitGroup
	for i := range n {
		burst.Go(func() { statuses[i] = w.sendOnce(ctx, o) })
	}
	burst.Wait()
	if ctx.Err() != nil {
		c.Seen = interrupted
		return c.decide(0, false)
	}
	refused, failed := 0, 0
	for _, status := range statuses {
		switch {
		case status == http.StatusTooManyRequests:
			refused++
		case status != http.StatusOK:
			failed++
		}
	}
	c.Seen = fmt.Sprintf("of %d, %d were answered with 429 and %d failed otherwise", n, refused, failed)
	if refused == 0 && failed > 0 {
		c.Means = "A sync with many workers fails. Set --workers to less."
		c.sync = true
	}
	return c.decide(n, refused+failed == 0)
}

// sendOnce reads the workspace without the pacing and the retries of the client. It returns
// the status, or 0 if there was no answer.
func (w *workspace) sendOnce(ctx context.Context, o Options) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.client.Raw().GetConfig().Servers[0].URL+"/", http.NoBody)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+o.Token)
	req.Header.Set("Accept", "application/json")
	resp, err := w.RoundTrip(req)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxObserved))
	if closeErr := resp.Body.Close(); err != nil || closeErr != nil {
		return 0
	}
	return resp.StatusCode
}
