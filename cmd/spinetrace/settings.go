package main

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// prefix is what the names of all settings start with.
const prefix = "SPINETRACE_"

// fault is one thing that is wrong with the settings.
type fault struct {
	name string // without the prefix
	text string // what is wrong; what to do. Never a value.
}

// faults are all of them. The first fault of a setting hides later ones, which would only
// follow from it.
type faults []fault

func (f *faults) add(name, text string) {
	if !f.has(name) {
		*f = append(*f, fault{name, text})
	}
}

// addAll adds several faults of one setting.
func (f *faults) addAll(name string, texts []string) {
	if f.has(name) {
		return
	}
	for _, text := range texts {
		*f = append(*f, fault{name, text})
	}
}

func (f *faults) has(name string) bool {
	return slices.ContainsFunc(*f, func(x fault) bool { return x.name == name })
}

// Error lists the faults, one a line.
func (f faults) Error() string {
	lines := make([]string, len(f))
	for i, x := range f {
		lines[i] = prefix + x.name + ": " + x.text
	}
	return strings.Join(lines, "\n")
}

// err returns f as an error, nil if nothing is wrong.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// readConfig reads the settings from the environment and reports everything that is wrong.
func readConfig() (config, faults) {
	var c config
	var f faults
	checkUnknown(os.Environ(), &f)
	for s := range settings(&c) {
		s.read(&f)
	}
	c.validate(&f)
	return c, f
}

// defaultConfig returns the settings as they are without any variable, whatever the
// environment says: the demo must not come near what is configured.
func defaultConfig() (config, error) {
	var c config
	for s := range settings(&c) {
		// No variable has a name with "=" in it.
		tag := fmt.Sprintf(`envconfig:"=" default:%q`, s.field.Tag.Get("default"))
		if err := s.decode(reflect.StructTag(tag)); err != nil {
			return config{}, fmt.Errorf("default of %s: %w", s.name, err)
		}
	}
	return c, nil
}

// serviceConfig reads the settings for a command that asks a back end.
func serviceConfig() (config, error) {
	c, f := readConfig()
	c.require(&f)
	return c, f.err()
}

// setting is one field of config.
type setting struct {
	name  string // without the prefix
	field reflect.StructField
	value reflect.Value
}

// settings walks the fields of c in their order, those of its families among them.
func settings(c *config) iter.Seq[setting] {
	return func(yield func(setting) bool) {
		walk(reflect.ValueOf(c).Elem(), strings.NewReplacer(), yield)
	}
}

// walk yields the settings of one struct, with the words of its family in their tags, until
// somebody has had enough.
func walk(v reflect.Value, words *strings.Replacer, yield func(setting) bool) bool {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if family := field.Tag.Get("family"); family != "" {
			words := strings.NewReplacer("%FAMILY%", family, "%PEER%", field.Tag.Get("peer"))
			if !walk(v.Field(i), words, yield) {
				return false
			}
			continue
		}
		field.Tag = reflect.StructTag(words.Replace(string(field.Tag)))
		name := strings.TrimPrefix(field.Tag.Get("envconfig"), prefix)
		if !yield(setting{name, field, v.Field(i)}) {
			return false
		}
	}
	return true
}

func (s setting) secret() bool { return s.field.Type == reflect.TypeFor[Secret]() }

// read sets the field from the environment.
func (s setting) read(f *faults) {
	given, ok := os.LookupEnv(prefix + s.name)
	if path, fromFile := os.LookupEnv(prefix + s.name + "_FILE"); s.secret() && fromFile {
		s.readFile(path, ok, f)
		return
	}
	if ok && strings.TrimSpace(given) == "" {
		f.add(s.name, "is empty; give it a value or leave it out")
		return
	}
	if err := s.decode(s.field.Tag); err != nil {
		f.add(s.name, howToWrite[s.field.Type]) // never err itself, which repeats the value
		return
	}
	s.checkRange(f)
}

// decode sets the field from the variable, or the default, that tag names. envconfig stops
// at the first fault of a struct, and an operator wants them all: so every field is a struct
// of its own.
func (s setting) decode(tag reflect.StructTag) error {
	one := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: s.field.Name, Type: s.field.Type, Tag: tag,
	}}))
	if err := envconfig.Process("", one.Interface()); err != nil {
		return err
	}
	s.value.Set(one.Elem().Field(0))
	return nil
}

func (s setting) readFile(path string, both bool, f *faults) {
	name := s.name + "_FILE"
	if both {
		f.add(s.name, "and "+name+" are both given; leave one out")
		return
	}
	text, err := readPrivate(path)
	value := strings.TrimSpace(string(text))
	switch {
	case errors.Is(err, errExposed):
		f.add(name, "names a file that "+errExposed.Error())
	case err != nil:
		f.add(name, "cannot be read; write the path of a file that this process may read")
	case value == "":
		f.add(name, "names an empty file; write the secret into it")
	default:
		s.value.Set(reflect.ValueOf(Secret{value}))
	}
}

// howToWrite is what is said of a value that its type cannot read.
var howToWrite = map[reflect.Type]string{
	reflect.TypeFor[bool]():          "is not a switch; write true or false",
	reflect.TypeFor[int]():           "is not a whole number; write digits",
	reflect.TypeFor[time.Duration](): "is not a duration; write one such as 900ms, 30s or 168h",
	reflect.TypeFor[Size]():          "is not a size; write bytes, KiB or MiB, for example 1MiB",
	reflect.TypeFor[List]():          "is not a list; write items with commas between",
	reflect.TypeFor[Networks]():      "is not a list of networks; write CIDR notation with commas between, for example 10.0.0.0/8",
	reflect.TypeFor[URL]():           "is not a URL; write https://host/path, without user, query or fragment",
	reflect.TypeFor[Rate]():          "is not a rate; write a number of calls a second up to 10000, 0 for no limit",
	reflect.TypeFor[Share]():         "is not a share; write a number from 0 to 1",
	reflect.TypeFor[slog.Level]():    "is not a level; write debug, info, warn or error",
}

// checkRange applies the tags oneof, min and max.
func (s setting) checkRange(f *faults) {
	tag := s.field.Tag
	if choices := tag.Get("oneof"); choices != "" && s.value.String() != "" {
		if !slices.Contains(strings.Split(choices, ","), s.value.String()) {
			f.add(s.name, "is not known; write one of "+strings.ReplaceAll(choices, ",", ", "))
		}
	}
	if tag.Get("min") == "" {
		return
	}
	if n := s.value.Int(); n < s.bound("min") || n > s.bound("max") {
		f.add(s.name, fmt.Sprintf("is out of range; write %s to %s", tag.Get("min"), tag.Get("max")))
	}
}

// bound reads a tag that is written like the setting itself. A tag that cannot be read is 0,
// which the tests would notice.
func (s setting) bound(tag string) int64 {
	text := s.field.Tag.Get(tag)
	switch s.value.Interface().(type) {
	case time.Duration:
		d, _ := time.ParseDuration(text)
		return int64(d)
	case Size:
		var size Size
		_ = size.UnmarshalText([]byte(text))
		return int64(size)
	}
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// checkUnknown reports every variable with our prefix that is no setting. Those of the
// tests are ignored.
func checkUnknown(environ []string, f *faults) {
	var known []string
	for s := range settings(new(config)) {
		known = append(known, s.name)
		if s.secret() {
			known = append(known, s.name+"_FILE")
		}
	}
	slices.Sort(environ)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(name, prefix)
		if !ours || name == "SPEC_DIR" || strings.HasPrefix(name, "TEST_") || slices.Contains(known, name) {
			continue
		}
		f.add(name, "is not a setting; "+advice(name, known))
	}
}

// advice names the known setting that differs least from name, if it can be what was meant.
func advice(name string, known []string) string {
	name = strings.ToUpper(name)
	nearest := slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(distance(name, a), distance(name, b))
	})
	if distance(name, nearest) > 2 {
		return "leave it out"
	}
	return "did you mean " + prefix + nearest + "?"
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

//go:generate go test . -run InReadme$ -update

// settingsTable writes the table of settings for the README.
func settingsTable() string {
	var b strings.Builder
	b.WriteString("| Setting | Default | Meaning |\n|---|---|---|\n")
	for s := range settings(new(config)) {
		shown := cmp.Or(s.field.Tag.Get("shown"), "`"+s.field.Tag.Get("default")+"`")
		if shown == "``" {
			shown = ""
		}
		desc := s.field.Tag.Get("desc")
		if choices := s.field.Tag.Get("oneof"); choices != "" {
			desc += " (`" + strings.ReplaceAll(choices, ",", "`, `") + "`)"
		}
		if low := s.field.Tag.Get("min"); low != "" {
			desc += fmt.Sprintf(" (%s to %s)", low, s.field.Tag.Get("max"))
		}
		name := "`" + prefix + s.name + "`"
		if s.secret() {
			name += " or `" + prefix + s.name + "_FILE`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, shown, strings.ReplaceAll(desc, "|", "\\|"))
	}
	return b.String()
}
