package simulator

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// ControlPath is where the rows of misbehaviour are read (GET), replaced (PUT, one row a
// line) and removed (DELETE), by programs on the simulator's own machine.
const ControlPath = "/control"

const maxControl = 64 << 10 // bytes of rows

// control answers for the simulator itself.
func (s *Server[R]) control(w http.ResponseWriter, r *http.Request) {
	if !Loopback(r.RemoteAddr) {
		http.Error(w, "the simulator is controlled from its own machine only", http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPut:
		text, err := io.ReadAll(io.LimitReader(r.Body, maxControl+1))
		if err != nil || len(text) > maxControl {
			http.Error(w, "the rows could not be read", http.StatusBadRequest)
			return
		}
		faults, err := ParseFaults(string(text))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.SetFaults(faults...)
	case http.MethodDelete:
		s.SetFaults()
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT, DELETE")
		http.Error(w, "GET, PUT or DELETE the fault rows", http.StatusMethodNotAllowed)
		return
	}
	s.showRows(w)
}

// showRows writes the rows as they can be PUT again, with what became of each.
func (s *Server[R]) showRows(w http.ResponseWriter) {
	s.mu.Lock()
	rows := slices.Clone(s.rows)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "# fault rows: %d\n", len(rows))
	for _, r := range rows {
		fmt.Fprintf(w, "# requests seen: %d, done to: %d\n%s\n", r.seen, r.done, r.Fault)
	}
}

const notice = `THIS IS A SIMULATOR. IT IS NOT SPINE.

It stands in for %s in tests and demonstrations. It knows
%d people, %s. Nothing that it says is about a patient of the NHS, and no
real patient may be asked about here.

%s It has been asked %d times:

`

// Page tells a person who looks in what this is and what has happened.
func (s *Server[R]) Page(w http.ResponseWriter) {
	who := "all of them invented"
	if !s.people.Invented() {
		who = "all of them test patients"
	}
	s.mu.Lock()
	asked, counts := s.asked, maps.Clone(s.counts)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, notice, s.service.Name, s.people.Len(), who, s.service.Hint, asked)
	for _, c := range slices.SortedFunc(maps.Keys(counts), byName) {
		fmt.Fprintf(w, "%8d  %-28s  %s\n", counts[c], cmp.Or(c.operation, "(malformed)"), c.answer)
	}
}

func byName(a, b count) int {
	return cmp.Or(strings.Compare(a.operation, b.operation), strings.Compare(a.answer, b.answer))
}
