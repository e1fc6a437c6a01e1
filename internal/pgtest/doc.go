// Package pgtest gives a test package a real PostgreSQL server of its own.
//
// The server lives in a temporary directory, listens on a Unix socket only,
// and goes when the test process goes, however that ends. It runs as the user
// of the test; as root, which PostgreSQL refuses, as user postgres or nobody.
//
// A test package declares one [Shared] server, which starts with the first
// test that asks for it, and gives every test a database of its own:
//
//	var pg pgtest.Shared
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pg.Main(m)) }
//
//	func TestJournal(t *testing.T) {
//		srv := pg.Server(t)
//		dsn := srv.NewDatabase(t, srv.Template(t, "migrated", migrate))
//		// ...
//	}
//
// A test that takes the database down uses a server of its own from [Start].
//
// Where the server's programs are missing the test fails: nothing is skipped.
package pgtest
