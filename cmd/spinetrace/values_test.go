package main

import (
	"encoding"
	"fmt"
	"testing"
)

// FuzzValues reads any text as every type of setting: what is read must come back from what
// is printed.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"1MiB", "A28, A31", "10.0.0.0/8,::1", "https://smsp.example.nhs.uk/smsp/pds", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, pair := range [][2]encoding.TextUnmarshaler{
			{new(Size), new(Size)}, {new(List), new(List)}, {new(Networks), new(Networks)}, {new(URL), new(URL)},
		} {
			if pair[0].UnmarshalText([]byte(text)) != nil {
				continue
			}
			printed := fmt.Sprint(pair[0])
			if err := pair[1].UnmarshalText([]byte(printed)); err != nil || fmt.Sprint(pair[1]) != printed {
				t.Errorf("%T: %q prints as %q, which reads as %q, %v", pair[0], text, printed, fmt.Sprint(pair[1]), err)
			}
		}
	})
}
