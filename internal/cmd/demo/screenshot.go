package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// screenshot takes a picture of what `baton explorer` shows of the one person
// who has the most kinds of things, as a graph.
func (d demo) screenshot(ctx context.Context, sim *simulator, picture string) error {
	if err := d.sync(ctx, sim); err != nil {
		return err
	}
	grants, err := d.readGrants(ctx)
	if err != nil {
		return err
	}
	explorer, stop, err := d.startExplorer(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: window(explorer), ReadHeaderTimeout: 10 * time.Second}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, stop())
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = d.photograph(ctx, fmt.Sprintf("http://%s/user/%s", listener.Addr(), url.PathEscape(busiest(grants))), picture)
	err = errors.Join(err, server.Close(), stop())
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// busiest is the user who holds something on the most types of resources, of
// several the one with the most grants.
func busiest(grants []grant) string {
	types, held := map[string]map[string]bool{}, map[string]int{}
	best := ""
	for _, g := range grants {
		who := g.Principal.ID.Resource
		if g.Principal.ID.ResourceType != typeUser {
			continue
		}
		if types[who] == nil {
			types[who] = map[string]bool{}
		}
		types[who][g.Resource.ID.ResourceType] = true
		held[who]++
		if better := len(types[who]) - len(types[best]); better > 0 || better == 0 && held[who] > held[best] {
			best = who
		}
	}
	return best
}

// startExplorer runs the explorer until it is stopped. It must not find a
// program that would open it in the browser of whoever takes the picture.
func (d demo) startExplorer(ctx context.Context) (*url.URL, func() error, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	address := listener.Addr().String()
	if err = listener.Close(); err != nil {
		return nil, nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	cmd := d.command(ctx, "baton", "explorer", "-f", "sync.c1z", "--port", port)
	cmd.Env = append(cmd.Env, "PATH=")
	if err = cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() error {
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) { // Killed, as it has no other end.
			return err
		}
		return nil
	}
	for range 200 {
		conn, dialErr := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if dialErr == nil {
			return &url.URL{Scheme: "http", Host: address}, stop, conn.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, errors.Join(ctx.Err(), stop())
		}
	}
	return nil, nil, errors.Join(errors.New("the explorer does not listen"), stop())
}

// window shows the explorer as it is after two clicks: it answers no address
// below its root, and begins with the table.
func window(explorer *url.URL) http.Handler {
	const click = `<script>
const waiting = setInterval(() => {
	const graph = document.querySelector('button[value="graph"]');
	if (graph) { clearInterval(waiting); graph.click(); }
}, 50);
</script>`
	proxy := httputil.NewSingleHostReverseProxy(explorer)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			return nil
		}
		page, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			return err
		}
		page = append(page, click...)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(page)), int64(len(page))
		r.Header.Set("Content-Length", strconv.Itoa(len(page)))
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/user/") {
			r.URL.Path = "/"
		}
		proxy.ServeHTTP(w, r)
	})
}

// photograph has Chromium draw a page. The time that it gives the page passes as
// fast as the page allows.
func (d demo) photograph(ctx context.Context, page, picture string) error {
	picture, err := filepath.Abs(picture)
	if err != nil {
		return err
	}
	args := []string{
		"--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir=" + filepath.Join(d.dir, "chromium"),
		"--window-size=960,720", "--force-device-scale-factor=1.5", "--virtual-time-budget=10000", "--screenshot=" + picture, page,
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Else it does not start. The page is our own.
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", args...) //nolint:gosec // the page is our own, the picture from the Makefile
	cmd.WaitDelay = 5 * time.Second
	if err = finish(cmd); err != nil {
		return err
	}
	info, err := os.Stat(picture)
	if err != nil {
		return err
	}
	d.say("%s has %d bytes. Look at it before you commit it.", picture, info.Size())
	return nil
}
