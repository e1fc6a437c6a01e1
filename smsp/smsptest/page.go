package smsptest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const notice = `THIS IS A SIMULATOR. IT IS NOT SPINE.

It stands in for a Spine Mini Service Provider in tests and demonstrations. It knows
%d people, %s. Nothing that it says is about a patient of the NHS, and no
real patient may be asked about here.

POST a mini service request to any path. It has been asked %d times:

`

// page tells a person who looks in what this is and what has happened.
func (s *Server) page(w http.ResponseWriter) {
	who := "all of them invented"
	if !s.people.Invented() {
		who = "all of them test patients"
	}
	s.mu.Lock()
	asked, counts := s.asked, maps.Clone(s.counts)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, notice, s.people.Len(), who, asked)
	for _, c := range slices.SortedFunc(maps.Keys(counts), byName) {
		fmt.Fprintf(w, "%8d  %-28s  %s\n", counts[c], cmp.Or(c.operation, "(malformed)"), c.answer)
	}
}

func byName(a, b count) int {
	return cmp.Or(strings.Compare(a.operation, b.operation), strings.Compare(a.answer, b.answer))
}
