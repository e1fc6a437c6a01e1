package store_test

import (
	"crypto/sha256"
	"fmt"
	"time"

	"spinetrace/store"
)

// An auditor needs nothing but SHA-256 and the documents, in order.
func ExampleEvent() {
	head := store.Head{Chain: "main"}
	now := time.Date(2026, 11, 22, 10, 15, 0, 0, time.UTC)
	events := []store.Event{
		head.Append(now, store.ID{}, store.Entry{Kind: store.Started, Facts: store.Facts{Version: "1.0.0"}}),
		head.Append(now.Add(time.Second), store.ID{}, store.Entry{Kind: store.Stopped}),
	}

	previous := make([]byte, sha256.Size)
	for _, e := range events {
		sum := sha256.Sum256(append(previous, e.Doc...))
		fmt.Println(e.Doc, sum == e.Hash)
		previous = sum[:]
	}
	// Output:
	// {"chain":"main","seq":1,"at":"2026-11-22T10:15:00.000000Z","kind":"started","user":"system","software":"1.0.0"} true
	// {"chain":"main","seq":2,"at":"2026-11-22T10:15:01.000000Z","kind":"stopped","user":"system"} true
}

func ExampleFindPart() {
	stored := store.PackParts([]store.Part{
		{Kind: store.Frame, Data: []byte("MSH|^~\\&|PAS")},
		{Kind: store.Reply, Data: []byte("MSH|^~\\&|SPINETRACE")},
	})
	parts, err := store.UnpackParts(stored)
	if err != nil {
		fmt.Println(err)
		return
	}
	reply, ok := store.FindPart(parts, store.Reply)
	fmt.Printf("%s %t\n", reply, ok)
	// Output: MSH|^~\&|SPINETRACE true
}
