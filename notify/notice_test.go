package notify_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"spinetrace/notify"
)

// notice is item 17 as it is told of. Its local number is there because the test puts it in.
func notice() notify.Notice {
	return notify.Notice{
		Item: 17, Kind: "invalid number", Opened: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Times: 1,
		Chain: "main", LocalID: "RXX1234567", Authority: "RXX",
	}
}

func encode(t *testing.T, n notify.Notice) []byte {
	t.Helper()
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func permanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// wantFailure checks an error: whether it is permanent, its end, and that nothing secret is in it.
func wantFailure(t *testing.T, err error, lasting bool, ends string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatal("no error")
	case permanent(err) != lasting:
		t.Errorf("permanent: %v; %v", permanent(err), err)
	case !strings.HasSuffix(err.Error(), ends):
		t.Errorf("error %q, want it to end in %q", err, ends)
	}
	for _, secret := range []string{"hush", "RXX1234567", "said in confidence", "clerk@"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q holds %q", err, secret)
		}
	}
}

func TestNoticeJSON(t *testing.T) {
	n := notice()
	want := `{"item":17,"kind":"invalid number","opened":"2026-11-22T12:00:00Z","times":1,"chain":"main","local_id":"RXX1234567","authority":"RXX"}`
	if got := string(encode(t, n)); got != want {
		t.Errorf("got %s", got)
	}
	n.LocalID, n.Authority = "", ""
	want = `{"item":17,"kind":"invalid number","opened":"2026-11-22T12:00:00Z","times":1,"chain":"main"}`
	if got := string(encode(t, n)); got != want {
		t.Errorf("without a patient: got %s", got)
	}
}

// TestNoNotice: bytes that are no notice are refused for good, and not shown.
func TestNoNotice(t *testing.T) {
	for _, msg := range []string{"", "RXX1234567", `{"kind":"RXX1234567"}`, `{"item":"RXX1234567"}`} {
		_, err := (&notify.Webhook{URL: "http://127.0.0.1:1/"}).Send(t.Context(), []byte(msg))
		wantFailure(t, err, true, "webhook: it is not a notice")
		_, err = (&notify.Mail{Addr: "127.0.0.1:1"}).Send(t.Context(), []byte(msg))
		wantFailure(t, err, true, "mail: it is not a notice")
	}
}
