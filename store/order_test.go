package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"
)

// chains are an Audit that has the times of its events, in seconds, and breaks at a negative one.
type chains struct {
	Audit
	times map[string][]int
}

var errBroken = errors.New("broken")

func (c chains) Events(_ context.Context, q Query) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for i, at := range c.times[q.Chain] {
			seq := int64(i) + 1
			if seq < q.From {
				continue
			}
			if at < 0 {
				yield(Event{}, errBroken)
				return
			}
			if !yield(Event{Chain: q.Chain, Seq: seq, At: time.Unix(int64(at), 0)}, nil) {
				return
			}
		}
	}
}

func TestInOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		times map[string][]int
		from  int64
		most  int
		want  string
	}{
		"nothing":            {most: 9},
		"merged":             {map[string][]int{"a": {1, 4, 5}, "b": {2, 3, 9}}, 1, 9, "a1 b1 b2 a2 a3 b3 "},
		"from a number on":   {map[string][]int{"a": {1, 4, 5}, "b": {2, 3, 9}}, 3, 9, "a3 b3 "},
		"broken off":         {map[string][]int{"a": {1, 4, 5}, "b": {2, 3, 9}}, 1, 2, "a1 b1 "},
		"an error ends both": {map[string][]int{"a": {1, -1}, "b": {2, 3}}, 1, 9, "a1 broken"},
	} {
		t.Run(name, func(t *testing.T) {
			got, n := "", 0
			for e, err := range InOrder(t.Context(), chains{times: tt.times}, Query{Chain: "a", From: tt.from}, Query{Chain: "b", From: tt.from}) {
				if err != nil {
					got += err.Error()
					continue
				}
				got += fmt.Sprint(e.Chain, e.Seq, " ")
				if n++; n == tt.most {
					break
				}
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
