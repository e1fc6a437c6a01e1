package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// The columns of table patient. A part's first two are what it is as of.
var (
	patientKey = []column{{"local_id", "text", oidText}, {"authority", "text", oidText}}
	toldPart   = []column{
		{"told_at", "timestamptz", oidTimestamp}, {"told_exchange", "uuid", oidUUID}, {"told_nhs", "text", oidText},
		{"told_status", "text", oidText}, {"told_print", "uuid", oidUUID}, {"told_doc", "text", oidText}}
	foundPart = []column{
		{"found_at", "timestamptz", oidTimestamp}, {"found_exchange", "uuid", oidUUID}, {"found_print", "uuid", oidUUID},
		{"found_outcome", "smallint", oidSmallint}, {"found_nhs", "text", oidText}, {"found_status", "text", oidText}}
	movedPart = []column{
		{"moved_at", "timestamptz", oidTimestamp}, {"moved_exchange", "uuid", oidUUID},
		{"into_local_id", "text", oidText}, {"into_authority", "text", oidText}}
	patientColumns = slices.Concat(patientKey, toldPart, foundPart, movedPart, []column{{"touched", "timestamptz", oidTimestamp}})
)

// patientTarget is the table with what follows when a row is there: the parts that are newer
// are replaced, and those of a row for which stale is true, a condition over the row p. Where
// nothing is to be replaced, the row is left alone.
func patientTarget(stale string) target {
	var replace, set []string
	for _, part := range [][]column{toldPart, foundPart, movedPart} {
		at, exchange := part[0].name, part[1].name
		newer := fmt.Sprintf("(excluded.%[1]s, excluded.%[2]s) > (p.%[1]s, p.%[2]s)", at, exchange)
		replace = append(replace, newer)
		for _, c := range part {
			set = append(set, fmt.Sprintf("%[1]s = case when %[2]s or %[3]s then excluded.%[1]s else p.%[1]s end", c.name, stale, newer))
		}
	}
	set = append(set, "touched = greatest(p.touched, excluded.touched)")
	return target{"patient as p", toPatient, false, patientColumns, fmt.Sprintf(
		" on conflict (local_id, authority) do update set %s where %s or %s",
		strings.Join(set, ", "), stale, strings.Join(replace, " or "))}
}

// patientRows are entries by key: one statement cannot change a row twice.
type patientRows map[store.PatientKey]store.Patient

func (r patientRows) add(p store.Patient) {
	if known, ok := r[p.Key]; ok {
		p = known.Merge(p)
	}
	r[p.Key] = p
}

// encode appends the rows to the columns, in the order of their keys: two instances that change
// the same rows in different orders would wait for each other.
func (r patientRows) encode(c []array, touched time.Time) {
	for _, key := range slices.SortedFunc(maps.Keys(r), store.PatientKey.Compare) {
		p := r[key]
		c[0].text(key.LocalID)
		c[1].text(key.Authority)
		c[2].time(p.Told.At)
		c[3].uuid(p.Told.Exchange)
		c[4].text(p.Told.NHSNumber)
		c[5].text(p.Told.Status)
		c[6].uuid(p.Told.Print)
		c[7].text(p.Told.Doc)
		c[8].time(p.Found.At)
		c[9].uuid(p.Found.Exchange)
		c[10].uuid(p.Found.Print)
		c[11].smallint(int16(p.Found.Outcome))
		c[12].text(p.Found.NHSNumber)
		c[13].text(p.Found.Status)
		c[14].time(p.Moved.At)
		c[15].uuid(p.Moved.Exchange)
		c[16].text(p.Moved.Into.LocalID)
		c[17].text(p.Moved.Into.Authority)
		c[18].time(touched)
	}
}

// selectPatients is followed by its condition. Whether an entry is flagged is looked up by item_flag,
// which holds the open items only.
const selectPatients = `select local_id, authority, told_at, told_exchange, told_nhs, told_status, told_print, told_doc,
	found_at, found_exchange, found_print, found_outcome, found_nhs, found_status,
	moved_at, moved_exchange, into_local_id, into_authority,
	exists (select from item i where i.local_id = patient.local_id and i.authority = patient.authority and i.closed is null)
	from patient where `

// Named implements [store.Index].
func (s *Store) Named(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	key := store.PatientKey{LocalID: localID}.Fit()
	return s.patients(ctx, "named", selectPatients+"local_id = $1 order by authority limit $2", key.LocalID, max(limit, 0))
}

// MergedInto implements [store.Index]. The condition that excludes the empty number lets the index be
// used, which leaves it out.
func (s *Store) MergedInto(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	const q = selectPatients + "into_local_id = $1 and into_local_id <> '' order by local_id, authority limit $2"
	key := store.PatientKey{LocalID: localID}.Fit()
	return s.patients(ctx, "merged into", q, key.LocalID, max(limit, 0))
}

// Entries implements [store.Index].
func (s *Store) Entries(ctx context.Context, after store.PatientKey, limit int) ([]store.Patient, error) {
	const q = selectPatients + "(local_id, authority) > ($1, $2) order by local_id, authority limit $3"
	after = after.Fit()
	return s.patients(ctx, "entries", q, after.LocalID, after.Authority, max(limit, 0))
}

func (s *Store) patients(ctx context.Context, what, query string, args ...any) ([]store.Patient, error) {
	rows, err := s.reader.QueryContext(ctx, s.allowed(query), args...)
	if err != nil {
		return nil, readError(what, err)
	}
	var found []store.Patient
	err = scan(rows, func() error {
		p, err := scanPatient(rows)
		found = append(found, p)
		return err
	})
	if err != nil {
		return nil, readError(what, err)
	}
	return found, nil
}

// scanPatient reads a row of selectPatients.
func scanPatient(row interface{ Scan(...any) error }) (p store.Patient, err error) {
	var told, found store.ID
	err = row.Scan(&p.Key.LocalID, &p.Key.Authority,
		&p.Told.At, &p.Told.Exchange, &p.Told.NHSNumber, &p.Told.Status, &told, &p.Told.Doc,
		&p.Found.At, &p.Found.Exchange, &found, &p.Found.Outcome, &p.Found.NHSNumber, &p.Found.Status,
		&p.Moved.At, &p.Moved.Exchange, &p.Moved.Into.LocalID, &p.Moved.Into.Authority, &p.Flagged)
	p.Told.Print, p.Found.Print = store.Print(told), store.Print(found)
	for _, at := range []*time.Time{&p.Told.At, &p.Found.At, &p.Moved.At} {
		*at = at.UTC()
	}
	return p, err
}
