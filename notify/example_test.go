package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"spinetrace/notify"
)

// A webhook gets the notice as it is written.
func Example() {
	team := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Println(r.Header.Get("Content-Type"), string(b))
	}))
	defer team.Close()

	msg, err := json.Marshal(notify.Notice{
		Item: 17, Kind: "invalid number", Opened: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Times: 1, Chain: "main",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	hook := &notify.Webhook{URL: team.URL, Client: team.Client()}
	if _, err := hook.Send(context.Background(), msg); err != nil {
		fmt.Println(err)
	}
	// Output: application/json {"item":17,"kind":"invalid number","opened":"2026-11-22T12:00:00Z","times":1,"chain":"main"}
}
