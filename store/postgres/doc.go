// Package postgres keeps the journal in PostgreSQL 13 or later.
//
//	if _, err := postgres.Migrate(ctx, ownerDSN); err != nil {
//		return err
//	}
//	s, err := postgres.Open(dsn, store.Options{Chain: "main"})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	if err := s.Start(ctx); err != nil {
//		return err
//	}
//	receipt, err := s.Commit(ctx, commit)
//
// # Writing
//
// Many callers share one flush to disk: one goroutine gathers what they commit and sends it
// as one statement, on one session that writes nothing else. A statement is committed or
// not as a whole, so there is never an open transaction, and a message that was claimed
// before shows as a violated key that undoes all of it.
//
// The session holds an advisory lock on the chain. Who loses the session loses the lock
// with it, so two processes never write one chain, and a process that comes back can tell
// what became of its last statement: once it holds the lock again, the old session has
// ended, and the newest event either is the one it sent or is not.
//
// # Duplicates
//
// Whether a message came before is not asked but tried: the ordinary message costs one round
// trip, and a repeated one undoes its batch, which is compared and sent again. While there
// are duplicates, batches are compared first.
//
// # Patients
//
// A commit changes the index of patients in the same statement: each entry is inserted, or takes
// the place of those parts on disk that are older, which the server decides. So instances need
// not read before they write, nor come in order. Rows are sorted by key, or two instances
// would wait for each other.
//
// # Work
//
// What a commit says of the queue is done by a function of the database in the same statement,
// one act after the other, as what the second does to an item depends on what the first did.
// Items are claimed for a time, by skipping those that another instance is just claiming: no
// transaction lasts as long as the work.
//
// # Letters and items
//
// So are letters and items: functions do what a commit says of them, in the same statement, in an
// order of rows that all instances have in common. A letter is taken by who looks at its destination
// alone, under a lock that lasts no longer than the statement.
//
// # Searching
//
// Exchanges are searched for on connections of their own, which never read a table from end to end.
// Ids tell time, so bounds of time are bounds of partitions, and make a search a matter of a few
// milliseconds. Without them a new session plans for every year that there is before it finds
// anything, which for five years takes 7 to 18 ms, connecting included; its next search of the kind takes
// 1 to 4.
//
// # Operating
//
// The schema comes from [Migrate], which the database's owner runs; the service itself needs
// no more than the role spinetrace_runtime of [RolesSQL], which may add to the journal, read
// it, and keep the index, the queue, the outbox and the items. Triggers refuse changes to the
// journal even to its owner, but for bodies that a function drops for the role spinetrace_pruner. Events and bodies are
// partitioned by month, what exchanges are found by is by year, both 24 months ahead: see
// [Store.PartitionsUntil].
//
// In production, give the server a synchronous standby (synchronous_standby_names): a
// failover to one that is behind loses events that were committed, which the store notices
// and records, but cannot undo. Set log_error_verbosity = terse, or the server's own log may
// quote rows.
//
// Nothing but SQLSTATE, table and constraint of a database error is ever told: the rest may
// quote the rows it is about.
package postgres
