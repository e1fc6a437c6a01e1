package store

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
)

// reference is the document as encoding/json writes it, with what is beyond ASCII escaped.
func reference(t *testing.T, e Event, entry Entry) string {
	t.Helper()
	d := document{
		Chain: e.Chain, Seq: e.Seq, At: e.At.Format(timeLayout), Kind: e.Kind.String(), Facts: entry.Facts,
	}
	if e.Exchange != (ID{}) {
		d.Exchange = e.Exchange.String()
	}
	for _, p := range entry.Parts {
		sum := Hash(sum256(p.Data))
		d.Digests = append(d.Digests, Digest{Kind: p.Kind.String(), Size: len(p.Data), SHA256: sum.String()})
	}
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var ascii strings.Builder
	for _, r := range string(b) {
		ascii.Write(appendASCII(nil, r))
	}
	return ascii.String()
}

func appendASCII(b []byte, r rune) []byte {
	if r < 0x80 {
		return append(b, byte(r))
	}
	return appendRune(b, r)
}

var texts = []string{
	"", "plain", "é", "\U0001F600", "\x00\x01\b\f\n\r\t\x1f\x7f", `"\/`, "<>&", "\u2028\u2029\uFFFD\uFFFF",
	"\xff\xfe", "caf\xe9", "\xed\xa0\x80", "\xf0\x9f\x98", "a\x80b", `,"bodies":[`, strings.Repeat("é<", 300),
}

// anyFacts fills every field of Facts, known to this test or not.
func anyFacts(r *rand.Rand) Facts {
	var f Facts
	text := func() string { return texts[r.IntN(len(texts))] }
	v := reflect.ValueOf(&f).Elem()
	for i := range v.NumField() {
		switch field := v.Field(i); field.Kind() {
		case reflect.String:
			field.SetString(text())
		case reflect.Int, reflect.Int64:
			field.SetInt(r.Int64N(3) * (r.Int64() - r.Int64()))
		case reflect.Map:
			m := map[string]string{}
			for range r.IntN(4) {
				m[text()] = text()
			}
			field.Set(reflect.ValueOf(m))
		default:
			panic("a field of a kind that no test knows: " + v.Type().Field(i).Name)
		}
	}
	return f
}

func TestDocumentIsWhatEncodingJSONWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		e := Event{
			Chain: texts[r.IntN(len(texts))], Seq: r.Int64(), At: time.UnixMicro(r.Int64N(1e17)).UTC(),
			Kind: Kind(r.IntN(256)), Exchange: []ID{{}, NewID()}[r.IntN(2)],
		}
		entry := Entry{Facts: anyFacts(r)}
		for i := range r.IntN(4) {
			entry.Parts = append(entry.Parts, Part{Kind: PartKind(i), Data: []byte(texts[r.IntN(len(texts))])})
		}
		got, want := string(appendDocument(nil, e, entry)), reference(t, e, entry)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("document (-encoding/json +ours):\n%s", diff)
		}
	}
}

func TestStringIsWhatEncodingJSONReads(t *testing.T) {
	same := func(b []byte) bool {
		encoded := appendString(nil, string(b))
		for _, c := range encoded {
			if c < ' ' || c > 0x7f {
				return false
			}
		}
		var got string
		return json.Unmarshal(encoded, &got) == nil && got == string([]rune(string(b)))
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
	for c := range 256 {
		if !same([]byte{byte(c)}) {
			t.Errorf("byte %#x is not written in ASCII, or read as another", c)
		}
	}
}
