package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSheet_Fit(t *testing.T) {
	t.Parallel()
	s := newSheet("", "Person", "When")
	s.add("Ada Lindqvist <ada.lindqvist@example.com>", "now")
	for width, want := range map[int][]int{
		200: {41, 4}, 49: {41, 4}, 48: {40, 4}, 30: {22, 4}, 10: {8, 4}, // No column gets narrower than eight.
	} {
		var got []int
		for _, c := range s.fit(width) {
			got = append(got, c.WidthMax)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("on a terminal of %d columns (-want +got):\n%s", width, diff)
		}
	}
}
