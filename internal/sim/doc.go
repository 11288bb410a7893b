// Package sim simulates the slice of the Segment Public API that this module
// uses: a stateful workspace behind real HTTP or an in-process transport, with
// a journal of requests, a plan of faults, and other administrators who edit
// the workspace in between.
//
// It behaves as Segment's documentation, samples and official clients show. If they
// do not cover a case, the simulator follows an assumption, and the comment beside
// the code calls it one.
package sim
