package pdsfhir

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestDecodeRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	of := func(key string, v any) string { return person(object{key: v}).String() }
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"nothing":                {"", errJSON},
		"a text":                 {`"Patient"`, errJSON},
		"a null":                 {`null`, errJSON},
		"an array":               {`[]`, errJSON},
		"half":                   {person().String()[:100], errJSON},
		"more than one":          {`{"resourceType":"Patient"}{}`, errJSON},
		"HTML":                   {"<html></html>", errJSON},
		"not UTF-8":              {"{\"resourceType\":\"Patient\",\"x\":\"\xff\"}", errJSON},
		"bomb":                   {`{"resourceType":"Patient","contained":` + deep(100_000) + `}`, errJSON},
		"no type":                {`{}`, errResource},
		"a type that is none":    {`{"resourceType":{"a":1}}`, errResource},
		"another type":           {`{"resourceType":"Observation"}`, errResource},
		"id of another kind":     {of("id", object{"a": 1}), errKind},
		"ids":                    {of("id", []string{"9990000018"}), errFHIR},
		"name of another kind":   {of("name", "Quillfeather"), errKind},
		"one name":               {of("name", object{"family": "Quillfeather"}), errFHIR},
		"array in an array":      {of("name", [][]string{{"a"}}), errKind},
		"no such gender":         {of("gender", "f"), errFHIR},
		"no such date":           {of("birthDate", "1978-02-30"), errFHIR},
		"date and time":          {of("birthDate", "1978-02-14T00:00:00"), errFHIR},
		"control character":      {of("id", "999000\x010018"), errFHIR},
		"number for a text":      {of("birthDate", 1978), errFHIR},
		"period of another kind": {of("address", []object{{"period": "2001"}}), errKind},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decode([]byte(tt.body)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestCutOutLeavesWhatIsNotReadBehind(t *testing.T) {
	p := person(object{
		"Id": "x", "x-simulated": object{"by": []int{1}}, "resourcetype": "Bundle", "contained": []any{object{}},
		"_birthDate": object{"extension": []any{}}, "text": object{"div": "<div>"}, "gender": " ", "telecom": []any{nil, nil},
	})
	_, cut, err := cutOut([]byte(p.String()))
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]json.RawMessage
	if err := json.Unmarshal(cut, &kept); err != nil {
		t.Fatal(err)
	}
	for key := range kept {
		if _, ok := patientShape[key]; !ok || key == "gender" || key == "telecom" {
			t.Errorf("%s was kept", key)
		}
	}
	if _, err := decode([]byte(p.String())); err != nil {
		t.Error(err)
	}
}
