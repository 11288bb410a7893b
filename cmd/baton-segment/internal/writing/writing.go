// Package writing tells the parent process of a run which changes its child has
// under way and which sync it has ended, and the child when the run is to stop.
//
// The SDK makes changes in a child process, which it kills as soon as the context
// of the parent ends. So the parent must know whether a change is under way before
// it ends its context. The child opens a connection to the parent for each change
// and closes it when the change has ended, or by crashing. It begins the change
// when the parent has answered.
package writing

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// variable is the environment variable that tells the child how to reach the
// parent: network, secret and address.
const variable = "BATON_SEGMENT_CHANGES"

// The parent sends these bytes. The child sends one line: the secret and a description
// of a change, or the secret, synced and a [Synced] in JSON.
const (
	begin = 'b' // The change may begin.
	stop  = 's' // The run is to stop: begin no new try.

	synced = "synced "
)

const (
	// maxLine is the longest line that the parent reads, in bytes.
	maxLine = 1024
	// replyTime is how long either side waits for the other to send a line.
	replyTime = 5 * time.Second
)

// A Register has the changes that the child has under way. The parent keeps it.
type Register struct {
	listener net.Listener
	secret   string
	mayBegin func() bool
	serving  sync.WaitGroup

	mu       sync.Mutex
	open     map[net.Conn]bool   // all connections
	underWay map[net.Conn]string // those of changes that have begun
	held     int                 // how many wait in vain
	asked    bool
	allowed  bool
	stopping bool
	ended    chan struct{}
	synced   *Synced
}

// A Synced is a sync that has ended.
type Synced struct {
	ID string `json:"id"`
	// Skipped is what it has left out because the workspace's plan or a feature is missing.
	Skipped []string `json:"skipped"`
}

// Synced returns the last sync that has ended, or nil.
func (r *Register) Synced() *Synced {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.synced
}

// Listen makes a register that the child can reach: by a socket in dir, or by a
// loopback port where the system has no such sockets or the path is too long. Only
// the user should have access to dir. If dir is empty, it is always a port.
//
// Listen calls mayBegin once, before the first change begins. If the result is
// false, no change ever begins.
func Listen(dir string, mayBegin func() bool) (*Register, error) {
	var config net.ListenConfig
	var listener net.Listener
	var err error
	if dir != "" {
		listener, err = config.Listen(context.Background(), "unix", filepath.Join(dir, "changes"))
	}
	if dir == "" || err != nil {
		var portErr error
		if listener, portErr = config.Listen(context.Background(), "tcp", "127.0.0.1:0"); portErr != nil {
			return nil, errors.Join(err, portErr)
		}
	}
	r := &Register{
		listener: listener, secret: rand.Text(), mayBegin: mayBegin,
		open: map[net.Conn]bool{}, underWay: map[net.Conn]string{}, ended: make(chan struct{}),
	}
	r.serving.Go(r.accept)
	return r, nil
}

// Env returns the name and the value of the environment variable that the child
// needs.
func (r *Register) Env() (string, string) {
	address := r.listener.Addr()
	return variable, strings.Join([]string{address.Network(), r.secret, address.String()}, " ")
}

// Stop lets no further change begin and asks the child to begin no new try of
// those under way. It returns what these are, and a channel that is closed when
// all of them have ended. Call it once.
func (r *Register) Stop() ([]string, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	for conn := range r.underWay {
		_, _ = conn.Write([]byte{stop}) // It fails if the child has ended.
	}
	r.closeEnded()
	return r.list(), r.ended
}

// UnderWay returns the descriptions of the changes that have begun and not ended.
func (r *Register) UnderWay() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list()
}

func (r *Register) list() []string {
	var all []string
	for _, what := range r.underWay {
		all = append(all, what)
	}
	slices.Sort(all)
	return all
}

// closeEnded closes the channel when the last change has ended. None begins after
// a stop, so this happens once.
func (r *Register) closeEnded() {
	if r.stopping && len(r.underWay) == 0 {
		select {
		case <-r.ended:
		default:
			close(r.ended)
		}
	}
}

// HeldBack reports whether the child waits to begin a change and must not.
func (r *Register) HeldBack() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held > 0
}

// Close removes the socket or the port. Connections stay open until the process ends:
// a child whose connection is closed returns an error for a change that it has not
// begun.
func (r *Register) Close() error { return r.listener.Close() }

func (r *Register) accept() {
	for {
		conn, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // Such as too many open files. The child waits until then.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		r.mu.Lock()
		r.open[conn] = true
		r.mu.Unlock()
		r.serving.Go(func() { r.serve(conn) })
	}
}

// serve keeps one change from its beginning to its end.
func (r *Register) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, conn)
		delete(r.underWay, conn)
		r.closeEnded()
	}()
	_ = conn.SetReadDeadline(time.Now().Add(replyTime))
	line, err := bufio.NewReader(io.LimitReader(conn, maxLine)).ReadString('\n')
	secret, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if err != nil || subtle.ConstantTimeCompare([]byte(secret), []byte(r.secret)) != 1 {
		return
	}
	if report, is := strings.CutPrefix(what, synced); is {
		r.noteSync(report)
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	defer r.admit(conn, what)()
	_, _ = io.Copy(io.Discard, conn) // It returns when the child closes its end.
}

// noteSync keeps the report of a sync. The child waits until its connection is closed.
func (r *Register) noteSync(report string) {
	var s Synced
	if json.Unmarshal([]byte(report), &s) != nil {
		return // It was cut off.
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.synced = &s
}

// admit lets a change begin. After a stop it leaves the child without an answer: an
// answer would make the SDK report the task to ConductorOne as one that has failed for
// good. The caller calls the function when the child has closed the connection.
func (r *Register) admit(conn net.Conn, what string) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked {
		r.asked, r.allowed = true, r.mayBegin()
	}
	if r.stopping || !r.allowed {
		r.held++
		return func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.held--
		}
	}
	if _, err := conn.Write([]byte{begin}); err == nil {
		r.underWay[conn] = what
	}
	return func() {}
}

// A Reporter tells the parent about changes. The child keeps it. The zero value has
// no parent: there the caller's context is all that ends a change.
type Reporter struct{ network, secret, address string }

// FromEnv returns the reporter for the parent that the environment names, or the
// zero value.
func FromEnv() Reporter {
	parts := strings.SplitN(os.Getenv(variable), " ", 3)
	if len(parts) != 3 {
		return Reporter{}
	}
	return Reporter{network: parts[0], secret: parts[1], address: parts[2]}
}

// Errors of Begin.
var (
	// ErrStopping means that the run is to stop. It is also the cause of the end of
	// a change's context when the run is to stop.
	ErrStopping = errors.New("stopping: no new change is begun")
	// ErrUnreachable means that the parent cannot be reached, so that it will not
	// wait for the change.
	ErrUnreachable = errors.New("the parent process cannot be reached")
)

// Begin reports a change to the parent and waits until it may begin. The returned
// context ends when no new try of the change may begin. The caller calls the
// function when the change has ended.
//
// It returns ErrStopping if the change must not begin, and after ErrUnreachable the
// context and the function can be used all the same.
func (r Reporter) Begin(ctx context.Context, what string) (context.Context, func(), error) {
	if r.network == "" {
		return ctx, func() {}, nil
	}
	dialer := net.Dialer{Timeout: replyTime}
	conn, err := dialer.DialContext(ctx, r.network, r.address)
	if err == nil {
		_, err = fmt.Fprintf(conn, "%s %s\n", r.secret, oneLine(what))
	}
	switch {
	case ctx.Err() != nil:
		if conn != nil {
			_ = conn.Close()
		}
		return nil, nil, errors.Join(ErrStopping, ctx.Err())
	case err != nil:
		if conn != nil {
			_ = conn.Close()
		}
		return ctx, func() {}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	giveUp := context.AfterFunc(ctx, func() { _ = conn.Close() })
	answer := make([]byte, 1)
	_, err = io.ReadFull(conn, answer)
	if !giveUp() || err != nil || answer[0] != begin {
		_ = conn.Close()
		return nil, nil, ErrStopping
	}
	ctx, cancel := context.WithCancelCause(ctx)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		if _, readErr := io.ReadFull(conn, answer); readErr == nil && answer[0] == stop {
			cancel(ErrStopping)
		}
	}()
	return ctx, func() {
		_ = conn.Close()
		<-listening
		cancel(nil)
	}, nil
}

// Synced tells the parent that a sync has ended. It returns when the parent knows.
func (r Reporter) Synced(ctx context.Context, s Synced) error {
	if r.network == "" {
		return nil
	}
	report, err := json.Marshal(s)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: replyTime}
	conn, err := dialer.DialContext(ctx, r.network, r.address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(replyTime))
	if _, err = fmt.Fprintf(conn, "%s %s%s\n", r.secret, synced, report); err == nil {
		_, err = io.Copy(io.Discard, conn) // It returns when the parent closes its end.
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// oneLine shortens a description to what the parent reads.
func oneLine(what string) string {
	what = strings.Join(strings.Fields(what), " ")
	if most := maxLine / 2; len(what) > most {
		what = strings.ToValidUTF8(what[:most], "")
	}
	return what
}
