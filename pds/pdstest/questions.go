package pdstest

import (
	"slices"

	"spinetrace/pds"
)

// primrose is the plainest of [People]; everyQuestion is about her.
var primrose = pds.MustNHSNumber("9990000018")

// question is one row of the suite: what is asked and what must come of it.
type question struct {
	about   string
	req     pds.Request
	outcome pds.Outcome
	found   pds.NHSNumber // zero unless somebody may be named
	vague   bool          // only the sex tells who is meant
}

func (q question) name() string { return q.req.Want.String() + "/" + q.about }

// known is what the asker knows, in the order of a form.
type known struct{ number, family, given, born, sex, postcode string }

// asking is a row of the tables below: one question, put to several operations.
type asking struct {
	about string
	known
	outcome pds.Outcome
	found   string
}

// vague is the row whose answer is [pds.ManyMatches] where the sex is not sent and only
// compared afterwards (pds-fhir.md section 9.3).
const vague = "twins told apart by sex"

var (
	byNumber = []pds.Want{pds.Verify, pds.DetailsByNumber, pds.Details}
	bySearch = []pds.Want{pds.Number, pds.DetailsBySearch, pds.Details}
	detailed = []pds.Want{pds.Details} // compares sex and postcode with the number's record too
)

// questions is every outcome by every operation that can end in it.
func questions() []question {
	return slices.Concat(
		spread(byNumber, numberRows),
		spread(detailed, contradictionRows),
		spread(bySearch, searchRows),
	)
}

func spread(wants []pds.Want, rows []asking) []question {
	var all []question
	for _, row := range rows {
		for _, want := range wants {
			q := question{about: row.about, req: row.known.request(want), outcome: row.outcome, vague: row.about == vague}
			if row.found != "" {
				q.found = pds.MustNHSNumber(row.found)
			}
			all = append(all, q)
		}
	}
	return all
}

func (k known) request(want pds.Want) pds.Request {
	req := pds.Request{Want: want}
	if k.number != "" {
		req.NHSNumber = pds.MustNHSNumber(k.number)
	}
	req.Who = pds.Demographics{Family: k.family, Given: k.given, Postcode: k.postcode}
	req.Who.BirthDate, _ = pds.ParseDate(k.born) // what is no date is left out
	if k.sex != "" {
		req.Who.Sex = pds.Sex(k.sex[0])
	}
	return req
}

// numberRows are for the operations that start from an NHS number.
var numberRows = []asking{
	{"number and birth date", known{number: "9990000018", born: "19620417"}, pds.Matched, "9990000018"},
	{"name too", known{number: "9990000018", born: "19620417", family: "HALVORSEN", given: "PRIMROSE"}, pds.Matched, "9990000018"},
	{"name in another case", known{number: "9990000018", born: "19620417", family: "Halvorsen", given: "primrose"}, pds.Matched, "9990000018"},
	{"second given name", known{number: "9990000018", born: "19620417", family: "HALVORSEN", given: "ANNE"}, pds.Matched, "9990000018"},
	{"beginning of the given name", known{number: "9990000018", born: "19620417", family: "HALVORSEN", given: "PRIM"}, pds.Matched, "9990000018"},
	{"initial only", known{number: "9990000018", born: "19620417", family: "HALVORSEN", given: "P"}, pds.NotVerified, ""},
	{"leap day", known{number: "9990000034", born: "19880229"}, pds.Matched, "9990000034"},
	{"another's birth date", known{number: "9990000018", born: "19751103"}, pds.NotVerified, ""},
	{"day and month swapped", known{number: "9990500002", born: "19490809"}, pds.NotVerified, ""},
	{"another family name", known{number: "9990000018", born: "19620417", family: "BRACKENTHWAITE"}, pds.NotVerified, ""},
	{"another given name", known{number: "9990000018", born: "19620417", family: "HALVORSEN", given: "OSRIC"}, pds.NotVerified, ""},
	{"half a double surname", known{number: "9990000034", born: "19880229", family: "TREMBLECOTE"}, pds.NotVerified, ""},
	{"hyphen left out", known{number: "9990000034", born: "19880229", family: "TREMBLECOTE VANE"}, pds.Matched, "9990000034"},
	{"apostrophe", known{number: "9990000026", born: "19751103", family: "O'DONNELLY", given: "CIARAN"}, pds.Matched, "9990000026"},
	{"apostrophe curled", known{number: "9990000026", born: "19751103", family: "O’Donnelly", given: "Ciarán"}, pds.Matched, "9990000026"},
	{"apostrophe left out", known{number: "9990000026", born: "19751103", family: "ODONNELLY"}, pds.Matched, "9990000026"},
	{"ampersand and accents", known{number: "9990600074", born: "19610930", family: "O'Rourke & Blythe-Núñez"}, pds.Matched, "9990600074"},
	{"surname of two letters", known{number: "9990000042", born: "19991231", family: "NG", given: "WEI LING"}, pds.Matched, "9990000042"},
	{"partial birth date held", known{number: "9994106155", born: "20050214", family: "Penhallow"}, pds.NotVerified, ""},
	{"number nobody has", known{number: "9990999988", born: "19620417"}, pds.NoMatch, ""},
	{"restricted", known{number: "9994105388", born: "19910305", family: "Vantongeren"}, pds.Matched, "9994105388"},
	{"deceased, with the time", known{number: "9994103075", born: "19420611", family: "Oxenholme-Tarn", given: "Barnaby"}, pds.Matched, "9994103075"},
	{"superseded", known{number: "9990600147", born: "19830921", family: "Kettlewell", given: "Rosalind"}, pds.Superseded, "9994104616"},
	{"superseded twice", known{number: "9990600562", born: "19700512"}, pds.Superseded, "9990600287"},
	{"superseded, not verified", known{number: "9990600562", born: "19700521", family: "FAIRWETHERLEY"}, pds.NotVerified, ""},
	{"superseded, by a former name", known{number: "9990606323", born: "19910908", family: "CHOPPINGHAM"}, pds.Superseded, "9990606250"},
	{"former family name", known{number: "9990605904", born: "19790611", family: "Marchbankse", given: "ROWENA"}, pds.Matched, "9990605904"},
	{"former family name, another given name", known{number: "9990605904", born: "19790611", family: "MARCHBANKSE", given: "LINNET"}, pds.NotVerified, ""},
	{"restricted, by a former name", known{number: "9990606110", born: "19830105", family: "OVERDALEY", given: "MERLIN"}, pds.Matched, "9990606110"},
	{"restricted and deceased", known{number: "9990600988", born: "19440303", family: "VEILWOOD"}, pds.Matched, "9990600988"},
	{"deceased, month only", known{number: "9990606188", born: "19270219"}, pds.Matched, "9990606188"},
	{"deceased, year only", known{number: "9990606390", born: "19660606"}, pds.Matched, "9990606390"},
	{"birth year only", known{number: "9990604061", born: "19210101", family: "HALFREMEMBER"}, pds.NotVerified, ""},
	{"birth date held with an hour", known{number: "9990604207", born: "20140512", family: "HOURGLASS"}, pds.Matched, "9990604207"},
	{"telephones and mail address", known{number: "9990606048", born: "19880704"}, pds.Matched, "9990606048"},
	{"one of two of the same name", known{number: "9990601402", born: "19330910", family: "SAMEWELL", given: "JOHN"}, pds.Matched, "9990601402"},
	{"hyphen written as a space", known{number: "9990000034", born: "19880229", family: "Tremblecote Vane"}, pds.Matched, "9990000034"},
	{"hyphen left out", known{number: "9990602387", born: "19580319", family: "St Cloudsley", given: "Maryann"}, pds.Matched, "9990602387"},
	{"accents left out", known{number: "9990601968", born: "19930927", family: "MULLERSON", given: "ZOE"}, pds.Matched, "9990601968"},
	{"accents as marks of their own", known{number: "9990601895", born: "19840210", family: "NU\u0301N\u0303EZ", given: "JOSE\u0301"}, pds.Matched, "9990601895"},
	{"straight apostrophe for a curly one", known{number: "9990602174", born: "20030421", family: "D'ARCYNESS"}, pds.Matched, "9990602174"},
	{"invalidated", known{number: "9990600635", born: "19550605"}, pds.Invalidated, ""},
	{"invalidated, another birth date", known{number: "9990600635", born: "19550506"}, pds.Invalidated, ""},
	{"surname over 35 characters", known{number: "9990603014", born: "19410202", family: "FEATHERSTONEHAUGH-CHOLMONDELEY-WRIO"}, pds.Matched, "9990603014"},
	{"given name over 35 characters", known{number: "9990603081", born: "19630323", family: "BARTHOLOMEWSON", given: "WILHELMINA-CHRISTABELLA-EVANGELINE-R"}, pds.Matched, "9990603081"},
}

// contradictionRows are for getPatientDetails with a number, where what else is sent must
// not contradict the record.
var contradictionRows = []asking{
	{"sex and postcode agree", known{number: "9990000018", born: "19620417", sex: "2", postcode: "LS99 1AA"}, pds.Matched, "9990000018"},
	{"sex not known", known{number: "9990000018", born: "19620417", sex: "0"}, pds.Matched, "9990000018"},
	{"opposite sex", known{number: "9990000018", born: "19620417", sex: "1"}, pds.NotVerified, ""},
	{"another postcode", known{number: "9990000018", born: "19620417", postcode: "LS99 1AB"}, pds.NotVerified, ""},
	{"former postcode", known{number: "9990605904", born: "19790611", postcode: "LS99 7MB"}, pds.NotVerified, ""},
	{"address without a postcode, any postcode", known{number: "9990603502", born: "19690722", postcode: "LS99 1AA"}, pds.NotVerified, ""},
	{"no address held, any postcode", known{number: "9990603642", born: "19740818", postcode: "LS99 1AA"}, pds.Matched, "9990603642"},
	{"restricted, any postcode", known{number: "9994105388", born: "19910305", postcode: "LS99 1AB"}, pds.Matched, "9994105388"},
}

// searchRows are for the operations that find a person by demographics.
var searchRows = []asking{
	{"name, birth date and sex", known{family: "HALVORSEN", born: "19620417", sex: "2"}, pds.Matched, "9990000018"},
	{"everything", known{family: "Halvorsen", given: "Primrose", born: "19620417", sex: "2", postcode: "LS99 1AA"}, pds.Matched, "9990000018"},
	{"postcode written otherwise", known{family: "HALVORSEN", born: "19620417", sex: "2", postcode: "ls991aa"}, pds.Matched, "9990000018"},
	{"sex not known", known{family: "HALVORSEN", born: "19620417", sex: "0"}, pds.Matched, "9990000018"},
	{"sex not specified", known{family: "HALVORSEN", born: "19620417", sex: "9"}, pds.Matched, "9990000018"},
	{"opposite sex", known{family: "HALVORSEN", born: "19620417", sex: "1"}, pds.NoMatch, ""},
	{"another birth date", known{family: "HALVORSEN", born: "19620418", sex: "2"}, pds.NoMatch, ""},
	{"another given name", known{family: "HALVORSEN", given: "OSRIC", born: "19620417", sex: "2"}, pds.NoMatch, ""},
	{"another postcode", known{family: "HALVORSEN", born: "19620417", sex: "2", postcode: "LS99 1AB"}, pds.NoMatch, ""},
	{"nobody", known{family: "NOBODYATALL", born: "19620417", sex: "2"}, pds.NoMatch, ""},
	{"same name and birth date", known{family: "SAMEWELL", given: "JOHN", born: "19330910", sex: "1"}, pds.ManyMatches, ""},
	{"told apart by postcode", known{family: "SAMEWELL", given: "JOHN", born: "19330910", sex: "1", postcode: "LS99 3CB"}, pds.Matched, "9990601542"},
	{"same in everything", known{family: "TWICEBORN", given: "EDITH", born: "19290101", sex: "2", postcode: "LS99 3CC"}, pds.ManyMatches, ""},
	{"twins", known{family: "DOUBLEDAYE", born: "20100615", sex: "1"}, pds.ManyMatches, ""},
	{"twins told apart by given name", known{family: "DOUBLEDAYE", given: "POLLUX", born: "20100615", sex: "1"}, pds.Matched, "9990601127"},
	{vague, known{family: "MIRRORBY", born: "20120704", sex: "1"}, pds.Matched, "9990601267"},
	{"twins, sex not known", known{family: "MIRRORBY", born: "20120704", sex: "0"}, pds.ManyMatches, ""},
	{"one given name begins the other", known{family: "PAIRMAN", given: "ALEX", born: "19960229", sex: "1"}, pds.ManyMatches, ""},
	{"restricted", known{family: "Vantongeren", given: "Isolde", born: "19910305", sex: "2"}, pds.Matched, "9994105388"},
	{"restricted, with postcode", known{family: "Vantongeren", given: "Isolde", born: "19910305", sex: "2", postcode: "LS99 9AL"}, pds.NoMatch, ""},
	{"restricted, former name", known{family: "OVERDALEY", given: "MERLIN", born: "19830105", sex: "1"}, pds.Matched, "9990606110"},
	{"restricted, former postcode", known{family: "UNDERHILLE", given: "MERLIN", born: "19830105", sex: "1", postcode: "LS99 3MF"}, pds.NoMatch, ""},
	{"former family name", known{family: "MARCHBANKSE", given: "ROWENA", born: "19790611", sex: "2"}, pds.Matched, "9990605904"},
	{"present family name", known{family: "THISTLEWAITE", given: "ROWENA", born: "19790611", sex: "2"}, pds.Matched, "9990605904"},
	{"former family name, another's present one", known{family: "MARCHBANKSE", born: "19790611", sex: "2"}, pds.ManyMatches, ""},
	{"another's former family name", known{family: "MARCHBANKSE", given: "LINNET", born: "19790611", sex: "2"}, pds.Matched, "9990605971"},
	{"former postcode", known{family: "THISTLEWAITE", given: "ROWENA", born: "19790611", sex: "2", postcode: "LS99 7MB"}, pds.Matched, "9990605904"},
	{"former name and postcode", known{family: "MARCHBANKSE", given: "ROWENA", born: "19790611", sex: "2", postcode: "LS99 7MB"}, pds.Matched, "9990605904"},
	{"former name of a survivor", known{family: "CHOPPINGHAM", given: "GRAYLING", born: "19910908", sex: "1"}, pds.Matched, "9990606250"},
	{"birth month only, full date asked", known{family: "PARTLEY", born: "19340701", sex: "2"}, pds.NoMatch, ""},
	{"deceased, month only", known{family: "FADEAWAY", born: "19270219", sex: "1"}, pds.Matched, "9990606188"},
	{"deceased, year only", known{family: "YEARLEY", born: "19660606", sex: "2"}, pds.Matched, "9990606390"},
	{"telephones and mail address", known{family: "ECHOWELL", born: "19880704", sex: "2"}, pds.Matched, "9990606048"},
	{"hyphen written as a space", known{family: "Tremblecote Vane", given: "Odessa", born: "19880229", sex: "2"}, pds.Matched, "9990000034"},
	{"hyphen left out", known{family: "ALRAHMANIYA", born: "19901012", sex: "2"}, pds.Matched, "9990602247"},
	{"deceased", known{family: "LASTLEY", born: "19180211", sex: "1"}, pds.Matched, "9990603227"},
	{"survivor of a superseded number", known{family: "Kettlewell", given: "Rosalind", born: "19830921", sex: "2"}, pds.Matched, "9994104616"},
	{"what a superseded record says", known{family: "FAIRWETHERLEY", given: "LUCY", born: "19700521", sex: "2"}, pds.NoMatch, ""},
	{"invalidated", known{family: "GHOSTLEY", born: "19550605", sex: "1"}, pds.NoMatch, ""},
	{"accents", known{family: "Núñez", given: "José", born: "19840210", sex: "1"}, pds.Matched, "9990601895"},
	{"accents left out", known{family: "NUNEZ", given: "JOSE", born: "19840210", sex: "1"}, pds.Matched, "9990601895"},
	{"letter without a plain form", known{family: "BRØNDERSLEV", given: "SØREN", born: "19710630", sex: "1"}, pds.Matched, "9990602034"},
	{"spaces in the surname", known{family: "VAN DER HOOLE", born: "19660105", sex: "1"}, pds.Matched, "9990602522"},
	{"full stop, space and hyphen", known{family: "St Cloudsley", given: "Mary", born: "19580319", sex: "2"}, pds.Matched, "9990602387"},
	{"ampersand and apostrophe", known{family: "O'Rourke & Blythe-Núñez", born: "19610930", sex: "1"}, pds.Matched, "9990600074"},
	{"surname of two letters", known{family: "LI", born: "19850120", sex: "1"}, pds.Matched, "9990602735"},
	{"surname of one letter", known{family: "Ó", born: "20000229", sex: "2"}, pds.Matched, "9990602875"},
	{"surname over 35 characters", known{family: "FEATHERSTONEHAUGH-CHOLMONDELEY-WRIO", born: "19410202", sex: "1"}, pds.Matched, "9990603014"},
	{"no address held", known{family: "NOADDRESS", born: "19740818", sex: "2"}, pds.Matched, "9990603642"},
	{"no address held, with postcode", known{family: "NOADDRESS", born: "19740818", sex: "2", postcode: "LS99 1AA"}, pds.NoMatch, ""},
	{"sex held as not specified", known{family: "NEITHERBY", born: "19980803", sex: "1"}, pds.Matched, "9990603855"},
}

// everyQuestion is one good question for each operation, all about the same person.
func everyQuestion() []pds.Request {
	number := known{number: "9990000018", born: "19620417", family: "HALVORSEN", given: "PRIMROSE"}
	search := known{family: "HALVORSEN", given: "PRIMROSE", born: "19620417", sex: "2"}
	return []pds.Request{
		number.request(pds.Verify),
		search.request(pds.Number),
		number.request(pds.DetailsByNumber),
		search.request(pds.DetailsBySearch),
		number.request(pds.Details),
		search.request(pds.Details),
	}
}

type refusal struct {
	reason string
	req    pds.Request
}

// refusals are questions that must not leave the house (smsp.md section 6.1).
func refusals() []refusal {
	good := known{number: "9990000018", family: "HALVORSEN", given: "PRIMROSE", born: "19620417", sex: "2"}
	but := func(want pds.Want, change func(*known)) pds.Request {
		k := good
		if change(&k); want == pds.Number || want == pds.DetailsBySearch {
			k.number = ""
		}
		return k.request(want)
	}
	return []refusal{
		{"no operation", good.request(0)},
		{"verify without a number", but(pds.Verify, func(k *known) { k.number = "" })},
		{"details by number without one", but(pds.DetailsByNumber, func(k *known) { k.number = "" })},
		{"no birth date", but(pds.Verify, func(k *known) { k.born = "" })},
		{"partial birth date", but(pds.Verify, func(k *known) { k.born = "1962" })},
		{"partial birth date, search", but(pds.Number, func(k *known) { k.born = "196204" })},
		{"birth date before 1850", but(pds.Number, func(k *known) { k.born = "18491231" })},
		{"birth date in the future", but(pds.Number, func(k *known) { k.born = "29990101" })},
		{"search without a family name", but(pds.Number, func(k *known) { k.family = "" })},
		{"search without a sex", but(pds.DetailsBySearch, func(k *known) { k.sex = "" })},
		{"wildcard in a verify", but(pds.Verify, func(k *known) { k.family = "HALV*" })},
		{"wildcard in a search", but(pds.Number, func(k *known) { k.family = "HALV*" })},
		{"wildcard in a given name", but(pds.Number, func(k *known) { k.given = "PR?" })},
		{"wildcard in a postcode", but(pds.DetailsBySearch, func(k *known) { k.postcode = "LS99*" })},
		{"postcode too long", but(pds.DetailsBySearch, func(k *known) { k.postcode = "LS99 99ZZ" })},
		{"postcode with other characters", but(pds.Number, func(k *known) { k.postcode = "LS99-1A" })},
		{"details with neither number nor name", but(pds.Details, func(k *known) { k.number, k.family = "", "" })},
	}
}
