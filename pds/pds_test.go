package pds_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"spinetrace/pds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseNHSNumber(t *testing.T) {
	for in, want := range map[string]error{
		"9990000018": nil, "999 000 0018": nil, "999-000-0018": nil, "9449304424": nil,
		"9990000019": pds.ErrCheckDigit, "1234567890": pds.ErrCheckDigit, "9219068409": pds.ErrCheckDigit,
		"0000000000": pds.ErrCheckDigit, "9999999999": pds.ErrCheckDigit, "1111111111": pds.ErrCheckDigit,
		"": pds.ErrNotTenDigits, "999000001": pds.ErrNotTenDigits, "99900000180": pds.ErrNotTenDigits,
		"999000001X": pds.ErrNotTenDigits, "ABC/123/45": pds.ErrNotTenDigits, "٩٩٩٠٠٠٠٠١٨": pds.ErrNotTenDigits,
	} {
		n, err := pds.ParseNHSNumber(in)
		if !errors.Is(err, want) || (err == nil) == n.IsZero() {
			t.Errorf("ParseNHSNumber(%q): error %v, want %v", in, err, want)
		}
	}
	n := pds.MustNHSNumber("9990000018")
	if n.Digits() != "9990000018" || n.Spaced() != "999 000 0018" {
		t.Errorf("got %q and %q", n.Digits(), n.Spaced())
	}
	if got := (pds.NHSNumber{}).Spaced(); got != "" {
		t.Errorf("an unknown number shows as %q", got)
	}
}

// TestModulus11 compares the check with the rule as the NHS Data Dictionary words it, over
// every check digit of many numbers.
func TestModulus11(t *testing.T) {
	for base := 400_000_000; base < 400_002_000; base++ {
		nine := fmt.Sprint(base)
		total := 0
		for i, weight := range []int{10, 9, 8, 7, 6, 5, 4, 3, 2} {
			total += int(nine[i]-'0') * weight
		}
		want := 11 - total%11
		if want == 11 {
			want = 0
		}
		for digit := range 10 {
			_, err := pds.ParseNHSNumber(nine + fmt.Sprint(digit))
			if valid := digit == want; valid != (err == nil) {
				t.Fatalf("%s%d: %v", nine, digit, err)
			}
		}
	}
}

func TestIdentifyingValuesPrintAsRedacted(t *testing.T) {
	n := pds.MustNHSNumber("9990000018")
	born := pds.Date{Year: 1962, Month: 4, Day: 17}
	who := pds.Demographics{Family: "HALVORSEN", BirthDate: born, Postcode: "LS99 1AA"}
	patient := pds.Patient{NHSNumber: n, Family: "HALVORSEN", BirthDate: born}
	req := pds.Request{NHSNumber: n, Who: who}
	res := pds.Result{NHSNumber: n, Patient: &patient}
	for _, v := range []any{n, born, who, patient, &patient, req, res, &req, []any{res}} {
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "v", v)
		asJSON, err := json.Marshal(struct{ V any }{v})
		if _, isRequest := v.(pds.Request); err != nil && !isRequest {
			t.Errorf("json.Marshal(%T): %v", v, err)
		}
		if s, ok := v.(fmt.Stringer); ok && s.String() != "redacted" {
			t.Errorf("%T says more than redacted", v)
		}
		all := fmt.Sprintf("%v %+v %#v %s %d %x", v, v, v, v, v, v) + fmt.Sprint(v) + logged.String() + string(asJSON)
		for _, secret := range []string{"9990000018", "HALVORSEN", "1962", "LS99"} {
			if strings.Contains(all, secret) {
				t.Errorf("%T prints %q: %s", v, secret, all)
			}
		}
	}
}

func TestParseDate(t *testing.T) {
	for in, want := range map[string]pds.Date{
		"1962": {Year: 1962}, "196204": {Year: 1962, Month: 4}, "19620417": {Year: 1962, Month: 4, Day: 17},
		"20240229": {Year: 2024, Month: 2, Day: 29},
	} {
		got, err := pds.ParseDate(in)
		if err != nil || got != want || got.Digits() != in {
			t.Errorf("ParseDate(%q): error %v, or not what it said", in, err)
		}
	}
	for _, in := range []string{"", "19", "19621", "20230229", "196213", "1962041", "1962-04-17", "abcd", "0000", "00000101", "00000101x"} {
		if _, err := pds.ParseDate(in); !errors.Is(err, pds.ErrDate) {
			t.Errorf("ParseDate(%q): error %v, want ErrDate", in, err)
		}
	}
}

func TestDatesAgreeToTheShorterPrecision(t *testing.T) {
	date := func(s string) pds.Date {
		d, err := pds.ParseDate(s)
		if err != nil {
			return pds.Date{}
		}
		return d
	}
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"19620417", "19620417", true}, {"1962", "19620417", true}, {"196204", "19620417", true},
		{"196205", "19620417", false}, {"19620418", "19620417", false}, {"", "19620417", false}, {"", "", false},
	} {
		if got := date(tt.a).Agrees(date(tt.b)); got != tt.want {
			t.Errorf("%q agrees with %q: %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestRulesCheck(t *testing.T) {
	born := pds.Date{Year: 1962, Month: 4, Day: 17}
	n := pds.MustNHSNumber("9990000018")
	full := pds.Demographics{Family: "NG", Given: "WEI LING", BirthDate: born, Sex: pds.SexFemale, Postcode: "LS99 1AE"}
	with := func(change func(*pds.Demographics)) pds.Demographics {
		d := full
		change(&d)
		return d
	}
	wild := func(s string) pds.Demographics { return with(func(d *pds.Demographics) { d.Family = s }) }
	partial := with(func(d *pds.Demographics) { d.BirthDate.Day = 0 })
	lax := pds.Rules{AllowWildcards: true, AllowPartialDOB: true}
	for name, tt := range map[string]struct {
		rules pds.Rules
		req   pds.Request
		want  string // the reason, "" when the question may be sent
	}{
		"verify":                              {req: pds.Request{Want: pds.Verify, NHSNumber: n, Who: pds.Demographics{BirthDate: born}}},
		"verify with a short surname":         {req: pds.Request{Want: pds.Verify, NHSNumber: n, Who: full}},
		"search":                              {req: pds.Request{Want: pds.Number, Who: full}},
		"either, by number":                   {req: pds.Request{Want: pds.Details, NHSNumber: n, Who: pds.Demographics{BirthDate: born}}},
		"no operation":                        {req: pds.Request{Who: full}, want: "operation"},
		"verify without a number":             {req: pds.Request{Want: pds.Verify, Who: full}, want: "NHS number missing"},
		"details without a number":            {req: pds.Request{Want: pds.DetailsByNumber, Who: full}, want: "NHS number missing"},
		"no birth date":                       {req: pds.Request{Want: pds.Verify, NHSNumber: n}, want: "birth date missing"},
		"born in 1849":                        {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.BirthDate.Year = 1849 })}, want: "birth date out of range"},
		"born in 1850":                        {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.BirthDate.Year = 1850 })}},
		"born in the future":                  {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.BirthDate.Year = 2999 })}, want: "birth date out of range"},
		"born on a day nobody was":            {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.BirthDate.Day = 31 })}, want: "birth date out of range"},
		"partial date":                        {req: pds.Request{Want: pds.Number, Who: partial}, want: "birth date partial"},
		"partial date, allowed":               {rules: lax, req: pds.Request{Want: pds.DetailsBySearch, Who: partial}},
		"partial date, never to verify":       {rules: lax, req: pds.Request{Want: pds.Verify, NHSNumber: n, Who: partial}, want: "birth date partial"},
		"search without a name":               {req: pds.Request{Want: pds.Number, Who: wild(" ")}, want: "family name missing"},
		"search without sex":                  {req: pds.Request{Want: pds.DetailsBySearch, Who: with(func(d *pds.Demographics) { d.Sex = 0 })}, want: "sex missing"},
		"either, without a number":            {req: pds.Request{Want: pds.Details, Who: pds.Demographics{BirthDate: born}}, want: "family name missing"},
		"wildcard":                            {req: pds.Request{Want: pds.Number, Who: wild("HAL*")}, want: "family name has a wildcard"},
		"wildcard, allowed":                   {rules: lax, req: pds.Request{Want: pds.Number, Who: wild("HA*")}},
		"wildcard first":                      {rules: lax, req: pds.Request{Want: pds.Number, Who: wild("*")}, want: "family name has a wildcard"},
		"wildcard after one letter":           {rules: lax, req: pds.Request{Want: pds.Number, Who: wild("Ó*")}, want: "family name has a wildcard"},
		"two wildcards":                       {rules: lax, req: pds.Request{Want: pds.Number, Who: wild("HA*L*")}, want: "family name has a wildcard"},
		"question mark":                       {rules: lax, req: pds.Request{Want: pds.Number, Who: wild("HAL?")}, want: "family name has a wildcard"},
		"wildcard, never to verify":           {rules: lax, req: pds.Request{Want: pds.Verify, NHSNumber: n, Who: wild("HAL*")}, want: "family name has a wildcard"},
		"wildcard after a letter and a space": {rules: lax, req: pds.Request{Want: pds.Number, Who: wild("O *")}, want: "family name has a wildcard"},
		"wildcard in a given name":            {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.Given = "WEI*" })}, want: "given name has a wildcard"},
		"wildcard in a postcode":              {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.Postcode = "LS9*" })}, want: "postcode has a wildcard"},
		"wildcard in a postcode, allowed":     {rules: lax, req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.Postcode = "LS9*" })}},
		"postcode with a hyphen":              {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.Postcode = "LS99-1AE" })}, want: "postcode"},
		"postcode that is not sent":           {req: pds.Request{Want: pds.Verify, NHSNumber: n, Who: with(func(d *pds.Demographics) { d.Postcode = "?" })}},
		"partial date, never to either":       {rules: lax, req: pds.Request{Want: pds.Details, Who: partial}, want: "birth date partial"},
		"long postcode":                       {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.Postcode = "LS99 1AEE" })}, want: "postcode"},
		"two spaces in a postcode":            {req: pds.Request{Want: pds.Number, Who: with(func(d *pds.Demographics) { d.Postcode = "L 9 1AE" })}, want: "postcode"},
	} {
		t.Run(name, func(t *testing.T) {
			res, ok := tt.rules.Check(tt.req)
			if ok != (tt.want == "") {
				t.Fatalf("Check = %v (%s)", ok, res.Reason)
			}
			if !ok && (res.Outcome != pds.Refused || res.Code != "SMSP-0001" || res.Reason != "local check: "+tt.want) {
				t.Errorf("got %v, %s, %q; want %q", res.Outcome, res.Code, res.Reason, tt.want)
			}
		})
	}
}

// TestBornToday is about the first hour of a day of British Summer Time, which is yesterday
// in UTC.
func TestBornToday(t *testing.T) {
	rules := pds.Rules{Now: func() time.Time { return time.Date(2025, 7, 1, 23, 10, 0, 0, time.UTC) }}
	for day, want := range map[int]bool{1: true, 2: true, 3: false} {
		req := pds.Request{Want: pds.Verify, NHSNumber: pds.MustNHSNumber("9990000018")}
		req.Who.BirthDate = pds.Date{Year: 2025, Month: 7, Day: day}
		if _, ok := rules.Check(req); ok != want {
			t.Errorf("born on 2 July plus %d days, at ten past midnight: accepted %v, want %v", day-2, ok, want)
		}
	}
}

// script is a Tracer that gives one error after the other, then a match.
type script struct {
	mu     sync.Mutex
	errs   []error
	called int
}

func (s *script) Trace(context.Context, pds.Request) (pds.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called++
	if len(s.errs) == 0 {
		return pds.Result{Outcome: pds.Matched}, nil
	}
	err := s.errs[0]
	s.errs = s.errs[1:]
	return pds.Result{}, err
}

var (
	busy    = &pds.Error{Class: pds.Busy, Status: 503, Retry: true}
	later   = &pds.Error{Class: pds.Busy, Status: 503, Retry: true, RetryAfter: 9 * time.Second}
	invalid = &pds.Error{Class: pds.ResponseInvalid, Code: "SMSP-0002", Retry: true}
	denied  = &pds.Error{Class: pds.AccessDenied, Status: 403}
)

func TestRetry(t *testing.T) {
	steady := pds.Backoff{Jitter: -1}
	for name, tt := range map[string]struct {
		errs   []error
		called int
		took   time.Duration
		class  pds.Class // 0: matched
	}{
		"the first time":                    {nil, 1, 0, 0},
		"after one failure":                 {[]error{busy}, 2, 500 * time.Millisecond, 0},
		"after two":                         {[]error{busy, busy}, 3, 2500 * time.Millisecond, 0},
		"three are enough":                  {[]error{busy, busy, busy}, 3, 2500 * time.Millisecond, pds.Busy},
		"not when it cannot help":           {[]error{denied}, 1, 0, pds.AccessDenied},
		"as late as the service asks":       {[]error{later}, 2, 9 * time.Second, 0},
		"an invalid answer once":            {[]error{invalid, invalid}, 2, 500 * time.Millisecond, pds.ResponseInvalid},
		"an invalid answer, then a failure": {[]error{invalid, busy}, 3, 2500 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{errs: tt.errs}
				start := time.Now()
				res, err := pds.Retry(s, steady).Trace(context.Background(), pds.Request{})
				if pds.ClassOf(err) != tt.class || (err == nil) != (res.Outcome == pds.Matched) {
					t.Errorf("got %v, %v; want class %v", res.Outcome, err, tt.class)
				}
				if s.called != tt.called || time.Since(start) != tt.took {
					t.Errorf("asked %d times in %v, want %d in %v", s.called, time.Since(start), tt.called, tt.took)
				}
			})
		})
	}
}

func TestRetryDoesNotWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s := &script{errs: []error{busy, busy, busy}}
		start := time.Now()
		_, err := pds.Retry(s, pds.Backoff{Jitter: -1}).Trace(ctx, pds.Request{})
		if pds.ClassOf(err) != pds.Busy {
			t.Errorf("error %v, want that of the last attempt", err)
		}
		// The third would come at 2.5 s.
		if took := time.Since(start); took != 500*time.Millisecond || s.called != 2 {
			t.Errorf("asked %d times in %v, want 2 in 500ms", s.called, took)
		}
	})
}

func TestRetryEndsWhenItsCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer time.AfterFunc(time.Second, cancel).Stop()
		s := &script{errs: []error{later}}
		start := time.Now()
		_, err := pds.Retry(s, pds.Backoff{}).Trace(ctx, pds.Request{})
		if took := time.Since(start); pds.ClassOf(err) != pds.Busy || took != time.Second || s.called != 1 {
			t.Errorf("error %v, asked %d times in %v; want the first error after 1s", err, s.called, took)
		}
	})
}

func TestBackoff(t *testing.T) {
	for name, tt := range map[string]struct {
		backoff pds.Backoff
		err     error
		least   time.Duration
		most    time.Duration
	}{
		"factor 2":                     {pds.Backoff{Attempts: 4, Delay: time.Second, Factor: 2, MaxDelay: 4 * time.Second, Jitter: -1}, busy, 7 * time.Second, 7 * time.Second},
		"the longest delay":            {pds.Backoff{Attempts: 4, Delay: time.Second, Factor: 10, MaxDelay: 3 * time.Second, Jitter: -1}, busy, 7 * time.Second, 7 * time.Second},
		"a factor that would shorten":  {pds.Backoff{Attempts: 4, Delay: time.Second, Factor: 0.1, Jitter: -1}, busy, 3 * time.Second, 3 * time.Second},
		"many attempts":                {pds.Backoff{Attempts: 2000, Delay: time.Second, Factor: 1e9, Jitter: -1}, busy, (1 + 1998*2) * time.Second, (1 + 1998*2) * time.Second},
		"jitter":                       {pds.Backoff{}, busy, 1250 * time.Millisecond, 3750 * time.Millisecond},
		"jitter never comes too early": {pds.Backoff{Attempts: 2}, later, 9 * time.Second, 9250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				_, err := pds.Retry(pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) {
					return pds.Result{}, tt.err
				}), tt.backoff).Trace(context.Background(), pds.Request{})
				if took := time.Since(start); took < tt.least || took > tt.most || err == nil {
					t.Errorf("%v after %v, want %v to %v", err, took, tt.least, tt.most)
				}
			})
		})
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		limited := pds.Limit(pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) {
			<-release
			return pds.Result{Outcome: pds.Matched}, nil
		}), 2, time.Second)
		var asked sync.WaitGroup
		for range 2 {
			asked.Go(func() { _, _ = limited.Trace(context.Background(), pds.Request{}) })
		}
		synctest.Wait()
		_, err := limited.Trace(context.Background(), pds.Request{})
		if pds.ClassOf(err) != pds.NoSlot || pds.Retryable(err) {
			t.Errorf("the third got %v, want no slot", err)
		}
		close(release)
		asked.Wait()
		if _, err := limited.Trace(context.Background(), pds.Request{}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{errs: []error{busy, busy, busy, busy, busy}}
		var states []bool
		b := pds.Breaker(s, pds.Trip{StateChanged: func(open bool) { states = append(states, open) }})
		ask := func() error {
			_, err := b.Trace(context.Background(), pds.Request{})
			return err
		}
		for range 5 {
			if got := pds.ClassOf(ask()); got != pds.Busy {
				t.Fatalf("class %v before the breaker opens", got)
			}
		}
		if got := pds.ClassOf(ask()); got != pds.BreakerOpen || s.called != 5 {
			t.Errorf("class %v, asked %d times; want an open breaker", got, s.called)
		}
		<-time.After(5 * time.Second)
		if err := ask(); err != nil {
			t.Errorf("after the delay: %v", err)
		}
		if len(states) < 2 || !states[0] || states[len(states)-1] {
			t.Errorf("states %v, want open, then not", states)
		}
	})
}

func TestBreakerTellsOfBothOfItsReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{errs: []error{busy, busy, busy, busy, denied}}
		var open bool
		b := pds.Breaker(s, pds.Trip{StateChanged: func(is bool) { open = is }})
		for range 5 {
			_, _ = b.Trace(context.Background(), pds.Request{})
		}
		<-time.After(10 * time.Second) // five failures are forgiven by now, the refusal is not
		if _, err := b.Trace(context.Background(), pds.Request{}); pds.ClassOf(err) != pds.BreakerOpen || !open {
			t.Errorf("after 10 s: %v, told open %v; want both to say so", err, open)
		}
	})
}

func TestBreakerOpensAtOnceWhenCredentialsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{errs: []error{denied}}
		b := pds.Breaker(s, pds.Trip{})
		ask := func() pds.Class {
			_, err := b.Trace(context.Background(), pds.Request{})
			return pds.ClassOf(err)
		}
		if got := ask(); got != pds.AccessDenied {
			t.Fatalf("class %v", got)
		}
		<-time.After(59 * time.Second)
		if got := ask(); got != pds.BreakerOpen {
			t.Errorf("after 59 s: class %v, want breaker open", got)
		}
		<-time.After(2 * time.Second)
		if got := ask(); got != 0 {
			t.Errorf("after a minute: class %v", got)
		}
	})
}

func TestAQuestionThatWasNotAskedDoesNotCloseTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unrecorded := &pds.Error{Class: pds.Unrecorded}
		s := &script{errs: []error{busy, busy, busy, busy, busy, unrecorded, busy}}
		b := pds.Breaker(s, pds.Trip{})
		ask := func() pds.Class {
			_, err := b.Trace(context.Background(), pds.Request{})
			return pds.ClassOf(err)
		}
		for range 5 {
			ask()
		}
		<-time.After(6 * time.Second)
		if got := ask(); got != pds.Unrecorded {
			t.Fatalf("class %v", got)
		}
		if got := ask(); got != pds.BreakerOpen {
			t.Errorf("after a question that was not asked: class %v, want the breaker still open", got)
		}
	})
}

func TestAPanicDoesNotLockTheBreaker(t *testing.T) {
	for name, first := range map[string][]error{
		"after failures":  {busy, busy, busy, busy, busy},
		"after a refusal": {denied},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, panics := &script{errs: first}, false
				b := pds.Breaker(pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
					if panics {
						panic("a fault of ours")
					}
					return s.Trace(ctx, req)
				}), pds.Trip{})
				ask := func() (err error) {
					defer func() { _ = recover() }() // as whoever asks does
					_, err = b.Trace(context.Background(), pds.Request{})
					return err
				}
				for range first {
					_ = ask()
				}
				<-time.After(61 * time.Second)
				panics = true
				_ = ask()
				panics = false
				<-time.After(61 * time.Second)
				if err := ask(); err != nil {
					t.Errorf("a minute after the panic: %v, want an answer", err)
				}
			})
		})
	}
}

func TestWhoWaitsForAPlaceIsToldFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		limited := pds.Limit(pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) {
			<-release
			return pds.Result{Outcome: pds.Matched}, nil
		}), 1, time.Minute)
		var asked sync.WaitGroup
		asked.Go(func() { _, _ = limited.Trace(context.Background(), pds.Request{Recorder: &waiting{}}) })
		synctest.Wait()
		down := errors.New("store down")
		if _, err := limited.Trace(context.Background(), pds.Request{Recorder: &waiting{err: down}}); !errors.Is(err, down) || pds.ClassOf(err) != pds.Unrecorded {
			t.Errorf("got %v, want the recorder's own fault at once", err)
		}
		second := &waiting{}
		asked.Go(func() { _, _ = limited.Trace(context.Background(), pds.Request{Recorder: second}) })
		synctest.Wait()
		if second.told != 1 {
			t.Errorf("told %d times before the wait, want once", second.told)
		}
		close(release)
		asked.Wait()
	})
}

// waiting is a Recorder that is told of waits.
type waiting struct {
	told int
	err  error
}

func (w *waiting) Asking(context.Context, pds.Call) error { return nil }
func (w *waiting) Answered(pds.Answer)                    {}
func (w *waiting) Waiting(context.Context) error          { w.told++; return w.err }

func TestBreakerIgnoresNegativeAnswersAndOurOwnFaults(t *testing.T) {
	unrecorded := &pds.Error{Class: pds.Unrecorded}
	s := &script{errs: []error{unrecorded, unrecorded, unrecorded, unrecorded, unrecorded, unrecorded}}
	b := pds.Breaker(s, pds.Trip{})
	for range 7 {
		_, _ = b.Trace(context.Background(), pds.Request{})
	}
	if s.called != 7 {
		t.Errorf("asked %d times, want 7", s.called)
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) {
			<-time.After(3 * time.Second)
			return pds.Result{}, busy
		})
		seen := 0
		observed := pds.Observe(slow, func(w pds.Want, took time.Duration, _ pds.Result, err error) {
			seen++
			if w != pds.Number || took != 3*time.Second || !errors.Is(err, busy) {
				t.Errorf("saw %v, %v, %v", w, took, err)
			}
		})
		_, _ = observed.Trace(context.Background(), pds.Request{Want: pds.Number})
		if seen != 1 {
			t.Errorf("called %d times", seen)
		}
	})
}

func TestNamesOfWhatHasNone(t *testing.T) {
	for _, tt := range [][2]string{
		{pds.Want(0).String(), "no operation"}, {pds.Want(99).String(), "no operation"}, {pds.Details.String(), "getPatientDetails"},
		{pds.Outcome(0).String(), "no outcome"}, {pds.Outcome(99).String(), "no outcome"}, {pds.Refused.String(), "refused"},
		{pds.Class(0).String(), "no class"}, {pds.Class(99).String(), "no class"}, {pds.Unrecorded.String(), "unrecorded"},
		{pds.Sex(0).Code(), ""}, {pds.SexNotSpecified.Code(), "9"},
	} {
		if got, want := tt[0], tt[1]; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if !(pds.Address{}).IsZero() || (pds.Address{Postcode: "LS99 9ZZ"}).IsZero() {
		t.Error("an address with a postcode is zero, or one without anything is not")
	}
}

func TestMustNHSNumberPanicsWithoutTheNumber(t *testing.T) {
	defer func() {
		if said := fmt.Sprint(recover()); said != pds.ErrCheckDigit.Error() {
			t.Errorf("panicked with %q", said)
		}
	}()
	pds.MustNHSNumber("9990000019")
}

func TestErrorSaysWhereNeverWhat(t *testing.T) {
	err := fmt.Errorf("smsp: getNHSNumber: %w", &pds.Error{Class: pds.ProviderError, Code: "2100", Status: 500, Retry: true})
	if got, want := err.Error(), "smsp: getNHSNumber: pds: provider error 2100 (HTTP 500)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !pds.Retryable(err) || pds.Retryable(errors.New("x")) || pds.ClassOf(nil) != 0 {
		t.Error("Retryable or ClassOf is wrong about wrapped or other errors")
	}
}

func ExampleRetry() {
	attempts := 0
	provider := pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) {
		if attempts++; attempts == 1 {
			return pds.Result{}, &pds.Error{Class: pds.Busy, Status: 503, Retry: true}
		}
		return pds.Result{Outcome: pds.NoMatch, Code: "DEMOG-0001"}, nil
	})
	tracer := pds.Retry(provider, pds.Backoff{Attempts: 2, Delay: time.Millisecond})
	res, err := tracer.Trace(context.Background(), pds.Request{Want: pds.Number})
	fmt.Println(attempts, res.Outcome, res.Code, err)
	// Output: 2 no match DEMOG-0001 <nil>
}
