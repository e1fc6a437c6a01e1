package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	oneKey   = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	otherKey = "32767:1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100"
)

func bodyKeys(tb testing.TB, text string) *BodyKeys {
	tb.Helper()
	k, err := ParseBodyKeys(text)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestParseBodyKeys(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []int
	}{
		"one":             {oneKey, []int{1}},
		"two, in order":   {otherKey + "\n" + oneKey + "\n", []int{1, 32767}},
		"lines of nobody": {"\n# the first\r\n\t" + oneKey + " \r\n\n", []int{1}},
		"spaces, case":    {strings.ToUpper(strings.Replace(oneKey, ":", " : ", 1)), []int{1}},
	} {
		if got := bodyKeys(t, tt.text).Numbers(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: Numbers() = %v, want %v", name, got, tt.want)
		}
	}
	if got := (*BodyKeys)(nil).Numbers(); got != nil {
		t.Errorf("without keys Numbers() = %v", got)
	}
}

// TestParseBodyKeysNamesTheLine, and nothing of what is in it.
func TestParseBodyKeysNamesTheLine(t *testing.T) {
	digits := strings.Repeat("5e", 32)
	for name, tt := range map[string]struct {
		text string
		line int
	}{
		"nothing":          {"", 0},
		"a comment alone":  {"# " + oneKey, 0},
		"no number":        {digits, 1},
		"number zero":      {"0:" + digits, 1},
		"number too high":  {"32768:" + digits, 1},
		"negative number":  {"-1:" + digits, 1},
		"no key":           {oneKey + "\n2:", 2},
		"half a key":       {oneKey + "\n\n2:" + digits[:32], 3},
		"key and a half":   {"2:" + digits + digits[:32], 1},
		"odd digits":       {"2:" + digits[1:], 1},
		"not hexadecimal":  {"2:" + digits[2:] + "xy", 1},
		"a number twice":   {oneKey + "\n" + "1:" + digits, 2},
		"another notation": {"2=" + digits, 1},
	} {
		_, err := ParseBodyKeys(tt.text)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if tt.line > 0 && !strings.Contains(err.Error(), fmt.Sprintf("line %d:", tt.line)) {
			t.Errorf("%s: error = %q, want one about line %d", name, err, tt.line)
		}
		if strings.Contains(err.Error(), "5e") || strings.Contains(err.Error(), "xy") {
			t.Errorf("%s: error = %q repeats the key", name, err)
		}
	}
}

func TestBodyKeysOpenWhatTheySealed(t *testing.T) {
	place, body := BodyPlace(someID, "main"), []byte("MSH|^~\\&|PAS\r")
	old := bodyKeys(t, oneKey)
	number, sealed := old.Seal(body, place)
	_, again := old.Seal(body, place)
	if number != 1 || bytes.Contains(sealed, body[:4]) || bytes.Equal(sealed, again) {
		t.Errorf("Seal() = key %d; want key 1, and no two bodies alike", number)
	}
	both := bodyKeys(t, otherKey+"\n"+oneKey)
	if newest, _ := both.Seal(body, place); newest != 32767 {
		t.Errorf("Seal() = key %d, want the highest", newest)
	}
	if got, err := both.Open(number, sealed, place); err != nil || !bytes.Equal(got, body) {
		t.Errorf("Open() error = %v, want what was sealed", err)
	}
	for name, tt := range map[string]struct {
		keys   *BodyKeys
		key    uint16
		sealed []byte
		place  []byte
		want   error
	}{
		"no keys":          {nil, 1, sealed, place, ErrNoBodyKey},
		"another key":      {bodyKeys(t, otherKey), 1, sealed, place, ErrNoBodyKey},
		"a number changed": {both, 32767, sealed, place, ErrParts},
		"another exchange": {both, 1, sealed, BodyPlace(ID{1}, "main"), ErrParts},
		"another chain":    {both, 1, sealed, BodyPlace(someID, "main.cli"), ErrParts},
		"cut":              {both, 1, sealed[:len(sealed)-1], place, ErrParts},
		"a byte changed":   {both, 1, append(slices.Clone(sealed[:20]), append([]byte{sealed[20] + 1}, sealed[21:]...)...), place, ErrParts},
		"too short":        {both, 1, sealed[:11], place, ErrParts},
		"nothing":          {both, 1, nil, place, ErrParts},
	} {
		if _, err := tt.keys.Open(tt.key, tt.sealed, tt.place); !errors.Is(err, tt.want) {
			t.Errorf("%s: Open() error = %v, want %v", name, err, tt.want)
		}
	}
	var none *BodyKeys
	number, plain := none.Seal(body, place)
	if got, err := both.Open(number, plain, place); number != 0 || err != nil || !bytes.Equal(got, body) {
		t.Errorf("without keys: key %d, error %v; want the body as it is", number, err)
	}
}

func FuzzBodyKeys(f *testing.F) {
	f.Add(oneKey+"\n"+otherKey, []byte("MSH"))
	f.Add("# none\n", []byte{})
	f.Add("1:zz", []byte{0})
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		k, err := ParseBodyKeys(text)
		if err != nil {
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); len(line) > 8 && strings.Contains(err.Error(), line) {
					t.Error("the error repeats a line")
				}
			}
			return
		}
		place := BodyPlace(someID, "main")
		number, sealed := k.Seal(body, place)
		if numbers := k.Numbers(); number == 0 || int(number) != numbers[len(numbers)-1] {
			t.Errorf("Seal() = key %d, want the highest of %v", number, numbers)
		}
		got, err := k.Open(number, sealed, place)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("Open() error = %v, want what was sealed", err)
		}
		if _, err := k.Open(number, body, place); !errors.Is(err, ErrParts) {
			t.Errorf("Open() of what was not sealed: error = %v, want ErrParts", err)
		}
	})
}
