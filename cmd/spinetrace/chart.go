package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	charts "github.com/wcharczuk/go-chart/v2"
	"github.com/wcharczuk/go-chart/v2/drawing"
)

// chartFile is the file that a chart is drawn into; "" for none. Its ending says how.
type chartFile string

var errChartFile = errors.New("is no name of a chart; write FILE.svg or FILE.png")

// Set implements [flag.Value].
func (f *chartFile) Set(name string) error {
	*f = chartFile(name)
	if f.kind() == "" {
		return errChartFile
	}
	return nil
}

// String implements [flag.Value].
func (f *chartFile) String() string { return string(*f) }

func (f *chartFile) check() error { return checkNew(f.String()) }

// kind is svg or png, "" for neither.
func (f chartFile) kind() string {
	switch kind := strings.ToLower(filepath.Ext(string(f))); kind {
	case ".svg", ".png":
		return kind[1:]
	}
	return ""
}

// chart is numbers by day, as lines. It holds no patient's data: names of senders, of operations,
// of reasons.
type chart struct {
	title, unit string
	period      period
	gaps        bool                          // a day without a number is no 0
	lines       map[string]map[string]float64 // by name and day
}

func newChart(title, unit string) chart {
	return chart{title: title, unit: unit, lines: make(map[string]map[string]float64)}
}

// add adds to the number of a day.
func (c chart) add(name, day string, n float64) {
	if c.lines[name] == nil {
		c.lines[name] = make(map[string]float64)
	}
	c.lines[name][day] += n
}

// mostLines is how many lines can be told apart; the smaller ones are drawn as one.
const mostLines = 8

// fold makes one line of those that are too many.
func (c chart) fold() map[string]map[string]float64 {
	total := func(name string) (sum float64) {
		for _, n := range c.lines[name] {
			sum += n
		}
		return sum
	}
	names := sorted(c.lines, func(a, b string) int { return cmp.Or(cmp.Compare(total(b), total(a)), strings.Compare(a, b)) })
	if len(names) <= mostLines {
		return c.lines
	}
	folded := newChart("", "")
	for i, name := range names {
		if i >= mostLines-1 {
			name = othersGroup
		}
		for day, n := range c.lines[names[i]] {
			folded.add(name, day, n)
		}
	}
	return folded.lines
}

// write draws the chart into a new file, which only its owner may read.
func (f chartFile) write(c chart) error {
	if f == "" {
		return nil
	}
	text, as := printable, charts.PNG
	if f.kind() == "svg" {
		// The library writes texts into the SVG as they are, and senders name themselves.
		text, as = func(s string) string { return html.EscapeString(printable(s)) }, charts.SVG
	}
	var picture bytes.Buffer
	if err := c.draw(text).Render(as, &picture); err != nil {
		return err
	}
	file, err := os.OpenFile(string(f), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("--chart: %w", err)
	}
	_, err = file.Write(picture.Bytes())
	if err = cmp.Or(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(string(f)))
	}
	return nil
}

// draw makes the picture; text is how a text is written.
func (c chart) draw(text func(string) string) *charts.Chart {
	days := c.days()
	lines, top := c.fold(), 0.0
	picture := &charts.Chart{
		Title: text(c.title + ", " + c.period.dates()), TitleStyle: charts.Style{FontSize: 14},
		Width: 1200, Height: 540,
		Background: charts.Style{Padding: charts.Box{Top: 60, Left: 290, Right: 20, Bottom: 20}},
	}
	for i, name := range sorted(lines, strings.Compare) {
		s := charts.ContinuousSeries{Name: text(shortened(name)), Style: lineStyle(i)}
		for at, day := range days {
			n, ok := lines[name][day.Format(time.DateOnly)]
			if !ok && c.gaps {
				continue
			}
			s.XValues, s.YValues = append(s.XValues, float64(at)), append(s.YValues, n)
			top = max(top, n)
		}
		picture.Series = append(picture.Series, s)
	}
	if len(picture.Series) == 0 { // the library draws no empty chart
		picture.Series = []charts.Series{charts.ContinuousSeries{
			Name: "(nothing)", Style: lineStyle(0), XValues: []float64{0}, YValues: []float64{0},
		}}
	}
	picture.XAxis = dayAxis(days)
	picture.YAxis = countAxis(top)
	picture.Elements = []charts.Renderable{charts.LegendLeft(picture, charts.Style{FontSize: 10}), unitAbove(text(c.unit))}
	return picture
}

// days are those of the period.
func (c chart) days() []time.Time {
	var days []time.Time
	for day := c.period.from.UTC().Truncate(24 * time.Hour); day.Before(c.period.until); day = day.AddDate(0, 0, 1) {
		days = append(days, day)
	}
	return days
}

// dates are the first and the last day of the period.
func (p period) dates() string {
	first, last := dayOf(p.from), dayOf(p.until.Add(-1))
	if first == last {
		return first
	}
	return first + " to " + last
}

// shortened cuts a name that would leave no room for the lines.
func shortened(name string) string {
	const longest = 28
	if letters := []rune(name); len(letters) > longest {
		return string(letters[:longest-3]) + "..."
	}
	return name
}

// unitAbove writes the unit above the axis: the library's own place for it is over the numbers.
func unitAbove(unit string) charts.Renderable {
	return func(r charts.Renderer, canvas charts.Box, defaults charts.Style) {
		charts.Style{FontSize: 10, FontColor: charts.DefaultTextColor}.InheritFrom(defaults).GetTextOptions().WriteToRenderer(r)
		r.Text(unit, canvas.Left-20, canvas.Top-12)
	}
}

// palette can be told apart by people who see fewer colours (Okabe and Ito).
var palette = [mostLines]string{"0072B2", "E69F00", "009E73", "CC79A7", "D55E00", "56B4E9", "000000", "999999"}

// lineStyle is a line with its points: one day alone has no line.
func lineStyle(i int) charts.Style {
	color := drawing.ColorFromHex(palette[i])
	return charts.Style{StrokeColor: color, StrokeWidth: 2, DotColor: color, DotWidth: 3}
}

// dayAxis has a date at every day, or at as many as there is room for.
func dayAxis(days []time.Time) charts.XAxis {
	const room = 9
	axis := charts.XAxis{Name: "day (UTC)", Ticks: []charts.Tick{{Value: -0.5}}} // one day has a width, too
	for at := 0; at < len(days); at += 1 + (len(days)-1)/room {
		axis.Ticks = append(axis.Ticks, charts.Tick{Value: float64(at), Label: days[at].Format(time.DateOnly)})
	}
	axis.Ticks = append(axis.Ticks, charts.Tick{Value: float64(len(days)) - 0.5})
	return axis
}

var gridStyle = charts.Style{StrokeColor: charts.ColorLightGray, StrokeWidth: 1}

// countAxis begins at 0 and has round numbers.
func countAxis(top float64) charts.YAxis {
	step := roundStep(top / 5)
	axis := charts.YAxis{
		AxisType:       charts.YAxisSecondary, // which is the left one
		GridMajorStyle: gridStyle, GridMinorStyle: gridStyle,
	}
	last := math.Max(step, math.Ceil(top/step)*step)
	for n := 0.0; n <= last+step/2; n += step {
		axis.Ticks = append(axis.Ticks, charts.Tick{Value: n, Label: strconv.FormatFloat(n, 'f', -1, 64)})
	}
	return axis
}

// roundStep is 1, 2 or 5 times a power of ten, and not less than n.
func roundStep(n float64) float64 {
	if n <= 1 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(n)))
	steps := []float64{1, 2, 5}
	if i := slices.IndexFunc(steps, func(s float64) bool { return s*power >= n }); i >= 0 {
		return steps[i] * power
	}
	return 10 * power
}
