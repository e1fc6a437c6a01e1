package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"spinetrace/store"
)

// selectPatients is followed by a condition. Whether an entry is flagged is looked up by item_flag, which
// holds the open items only.
const selectPatients = `select ` + patientColumns + `, exists (select 1 from item i
	where i.local_id = patient.local_id and i.authority = patient.authority and i.closed is null) from patient `

// selectEntry is selectPatients for who writes, and does not ask for flags.
const selectEntry = `select ` + patientColumns + `, false from patient `

const patientColumns = `local_id, authority,
	told_at, told_exchange, told_nhs, told_status, told_print, told_doc,
	found_at, found_exchange, found_print, found_outcome, found_nhs, found_status,
	moved_at, moved_exchange, into_local_id, into_authority, touched`

const writePatient = `insert or replace into patient (local_id, authority,
	told_at, told_exchange, told_nhs, told_status, told_print, told_doc,
	found_at, found_exchange, found_print, found_outcome, found_nhs, found_status,
	moved_at, moved_exchange, into_local_id, into_authority, touched)
	values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// scanPatient reads a row of selectPatients.
func scanPatient(row interface{ Scan(...any) error }) (p store.Patient, touched time.Time, err error) {
	var told, found, moved, last int64
	var toldPrint, foundPrint store.ID
	err = row.Scan(&p.Key.LocalID, &p.Key.Authority,
		&told, &p.Told.Exchange, &p.Told.NHSNumber, &p.Told.Status, &toldPrint, &p.Told.Doc,
		&found, &p.Found.Exchange, &foundPrint, &p.Found.Outcome, &p.Found.NHSNumber, &p.Found.Status,
		&moved, &p.Moved.Exchange, &p.Moved.Into.LocalID, &p.Moved.Into.Authority, &last, &p.Flagged)
	p.Told.At, p.Found.At, p.Moved.At = moment(told), moment(found), moment(moved)
	p.Told.Print, p.Found.Print = store.Print(toldPrint), store.Print(foundPrint)
	return p, moment(last), err
}

// known returns the entry of a key as the transaction sees it; ok is false if there is none.
func (w *writer) known(key store.PatientKey) (p store.Patient, touched time.Time, ok bool, err error) {
	p, touched, err = scanPatient(w.patient.QueryRow(key.LocalID, key.Authority))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Patient{}, time.Time{}, false, nil
	}
	return p, touched, err == nil, err
}

// told merges what a commit says of patients into the index.
func (w *writer) told(at time.Time, patients []store.Patient) error {
	for _, p := range patients {
		known, touched, ok, err := w.known(p.Key)
		if err != nil {
			return err
		}
		if ok {
			if p = known.Merge(p); p == known {
				continue
			}
		}
		if err := w.put(p, latest(at, touched)); err != nil {
			return err
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// put writes an entry in the place of what is there.
func (w *writer) put(p store.Patient, touched time.Time) error {
	_, err := w.keepPatient.Exec(p.Key.LocalID, p.Key.Authority,
		p.Told.At.UnixMicro(), p.Told.Exchange[:], p.Told.NHSNumber, p.Told.Status, p.Told.Print[:], p.Told.Doc,
		p.Found.At.UnixMicro(), p.Found.Exchange[:], p.Found.Print[:], int64(p.Found.Outcome), p.Found.NHSNumber, p.Found.Status,
		p.Moved.At.UnixMicro(), p.Moved.Exchange[:], p.Moved.Into.LocalID, p.Moved.Into.Authority, touched.UnixMicro())
	return err
}

// Patient implements [store.Index].
func (s *Store) Patient(ctx context.Context, key store.PatientKey) (p store.Patient, ok bool, err error) {
	r, err := s.reader()
	if err != nil {
		return store.Patient{}, false, err
	}
	key = key.Fit()
	p, _, err = scanPatient(r.patient.QueryRowContext(ctx, key.LocalID, key.Authority))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return store.Patient{}, false, nil
	case err != nil:
		return store.Patient{}, false, explain("read a patient", err)
	}
	return p, true, nil
}

// Named implements [store.Index].
func (s *Store) Named(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	key := store.PatientKey{LocalID: localID}.Fit()
	return s.patients(func(r *readers) (*sql.Rows, error) {
		return r.named.QueryContext(ctx, key.LocalID, max(limit, 0))
	})
}

// MergedInto implements [store.Index].
func (s *Store) MergedInto(ctx context.Context, localID string, limit int) ([]store.Patient, error) {
	key := store.PatientKey{LocalID: localID}.Fit()
	return s.patients(func(r *readers) (*sql.Rows, error) {
		return r.merged.QueryContext(ctx, key.LocalID, max(limit, 0))
	})
}

// Entries implements [store.Index].
func (s *Store) Entries(ctx context.Context, after store.PatientKey, limit int) ([]store.Patient, error) {
	after = after.Fit()
	return s.patients(func(r *readers) (*sql.Rows, error) {
		return r.entries.QueryContext(ctx, after.LocalID, after.Authority, max(limit, 0))
	})
}

// Holders implements [store.Index].
func (s *Store) Holders(ctx context.Context, nhsNumber string, limit int) ([]store.Patient, error) {
	number := store.Text(nhsNumber)
	return s.patients(func(r *readers) (*sql.Rows, error) {
		return r.holders.QueryContext(ctx, number, number, max(limit, 0))
	})
}

// patients reads all entries of one statement into memory.
func (s *Store) patients(query func(*readers) (*sql.Rows, error)) ([]store.Patient, error) {
	r, err := s.reader()
	if err != nil {
		return nil, err
	}
	rows, err := query(r)
	if err != nil {
		return nil, explain("read patients", err)
	}
	defer rows.Close()
	var found []store.Patient
	for rows.Next() {
		p, _, err := scanPatient(rows)
		if err != nil {
			return nil, explain("read patients", err)
		}
		found = append(found, p)
	}
	return found, explain("read patients", rows.Err())
}
