package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"database/sql"
	varint "encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

// recomputed runs docs/chains.sql as an auditor, and returns the heads, and how many rows are wrong.
func recomputed(t *testing.T, g guarded) (heads string, wrong int) {
	t.Helper()
	text, err := os.ReadFile("../../docs/chains.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", g.as(t, "spinetrace_reader"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(string(text))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var head string
		var n int
		if err := rows.Scan(&head, &n); err != nil {
			t.Fatal(err)
		}
		heads, wrong = heads+head+"\n", wrong+n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return heads, wrong
}

// TestChainsAreRecomputed by the script of the documentation, to the heads that audit head prints.
func TestChainsAreRecomputed(t *testing.T) {
	g := newGuarded(t)
	g.fill(t, "main", 7)
	g.fill(t, "second", 3)
	runCommand("audit", "show", "NOBODY") // begins the chain of the commands
	_, printed, _ := runCommand("audit", "head")
	want := ""
	for line := range strings.Lines(printed) {
		want += strings.Fields(line)[0] + "\n"
	}
	if heads, wrong := recomputed(t, g); heads != want || wrong != 0 || strings.Count(heads, "\n") != 3 {
		t.Errorf("recomputed, with %d wrong:\n%swant\n%s", wrong, heads, want)
	}
	for what, forgery := range map[string]string{
		"a document": `update event set doc = overlay(doc placing 'X' from strpos(doc, 'PAS')) where seq = 4`,
		"a gap":      `delete from event where seq = 2`,
	} {
		g.forge(t, "create table kept as select * from event", forgery)
		if _, wrong := recomputed(t, g); wrong == 0 {
			t.Errorf("%s: nothing is wrong", what)
		}
		g.forge(t, "delete from event", "insert into event select * from kept", "drop table kept")
	}
}

// storedBody is a row of body, and what its event says of it.
type storedBody struct {
	exchange   store.ID
	chain, doc string
	codec, key int
	data       []byte
}

// open takes a body apart as the README says, by nothing of this program.
func (b storedBody) open(t *testing.T, key []byte) (digests []string) {
	t.Helper()
	if b.key != 0 {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		if b.data, err = gcm.Open(nil, b.data[:12], b.data[12:], append(b.exchange[:], b.chain...)); err != nil {
			t.Fatal(err)
		}
	}
	if b.codec == 1 {
		dec, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		if b.data, err = dec.DecodeAll(b.data, nil); err != nil {
			t.Fatal(err)
		}
	}
	for rest := b.data; len(rest) > 0; {
		size, n := varint.Uvarint(rest[1:])
		body := rest[1+n:][:size]
		digests = append(digests, fmt.Sprintf("%d %d %x", rest[0], size, sha256.Sum256(body)))
		rest = rest[1+n+int(size):]
	}
	return digests
}

// claimed returns what the document says of the bodies, in the same words.
func (b storedBody) claimed(t *testing.T) (digests []string) {
	t.Helper()
	var doc struct {
		Bodies []struct {
			Kind, SHA256 string
			Size         int
		}
	}
	if err := json.Unmarshal([]byte(b.doc), &doc); err != nil {
		t.Fatal(err)
	}
	numbers := map[string]int{"frame": 1, "reply": 2, "request": 3, "response": 4, "sent": 5, "acknowledged": 6}
	for _, d := range doc.Bodies {
		digests = append(digests, fmt.Sprintf("%d %d %s", numbers[d.Kind], d.Size, d.SHA256))
	}
	return digests
}

// TestBodiesAreAsDocumented: small and large ones, in the clear and encrypted.
func TestBodiesAreAsDocumented(t *testing.T) {
	g := newGuarded(t)
	keys, err := store.ParseBodyKeys(firstKey)
	if err != nil {
		t.Fatal(err)
	}
	for chain, keys := range map[string]*store.BodyKeys{"clear": nil, "sealed": keys} {
		db, err := postgres.Open(g.as(t, "spinetrace_runtime"), store.Options{Chain: chain, BodyKeys: keys})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"MSH|^~\\&|short\r", strings.Repeat("<soap/>", 1000)} {
			keep(t, db, store.Commit{Exchange: store.NewID(), Open: &store.Opening{}, Close: &store.Closing{Outcome: store.NotTraced}, Entries: []store.Entry{{
				Kind: store.Exchanged, Parts: []store.Part{{Kind: store.Frame, Data: []byte(text)}, {Kind: store.Reply, Data: []byte("MSA|AA\r")}},
			}}})
		}
		closeStore(t, db)
	}
	key, err := hex.DecodeString(strings.TrimPrefix(firstKey, "1:"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := g.Query(`select b.exchange, c.name, e.doc, b.codec, b.key_id, b.data
		from body b join event e using (exchange, chain, seq) join chain c on c.id = b.chain`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := make(map[string]int)
	for rows.Next() {
		var b storedBody
		if err := rows.Scan(&b.exchange, &b.chain, &b.doc, &b.codec, &b.key, &b.data); err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(b.codec, b.key)]++
		if got, want := fmt.Sprint(b.open(t, key)), fmt.Sprint(b.claimed(t)); got != want {
			t.Errorf("codec %d, key %d: bodies %s, want %s", b.codec, b.key, got, want)
		}
	}
	if err := rows.Err(); err != nil || len(seen) != 4 {
		t.Errorf("codecs and keys %v, %v; want all four", seen, err)
	}
}
