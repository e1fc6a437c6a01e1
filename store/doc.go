// Package store is what must not be lost: the journal of every exchange, and the reading
// of it.
//
// The journal is append-only. Each instance of the service writes one chain: events
// numbered from 1 without a gap, each hashed over its predecessor, so that a changed,
// missing or invented row shows. [Verify] walks a chain and says where it breaks; an
// outsider needs nothing but SHA-256 (see [Event]).
//
// A [Journal] makes a [Commit] durable before it returns: many callers share one flush to
// disk. Messages are recognised when they come again, by a unique index, and the caller is
// told which exchange was first.
//
//	r, err := journal.Commit(ctx, store.Commit{
//		Exchange: store.NewID(),
//		Open:     &store.Opening{ControlID: "PAS0000451", Claim: claim, …},
//		Entries:  []store.Entry{{Kind: store.Received, Facts: facts, Parts: []store.Part{{Kind: store.Frame, Data: frame}}}},
//	})
//
// Beside the journal a store keeps an [Index] of patients: what the newest message told of
// each, what the newest trace found, and where a merge took it. It changes in the same act as
// the journal ([Commit.Patients]) and is not part of it: [Index.Reindex] makes it anew from the
// journal. And it keeps a [Queue] of work: traces that are still to be made after their messages
// were answered. Instances share it. Who claims an item has it for a time, and says in a commit
// how the attempt ended:
//
//	items, err := s.Claim(ctx, 8, time.Minute)
//	for _, w := range items {
//		…
//		r, err := s.Commit(ctx, store.Commit{
//			Exchange: w.Exchange,
//			Entries:  []store.Entry{{Kind: store.Finished, Facts: facts}},
//			Settled:  []store.Settlement{{Exchange: w.Exchange, Patient: w.Patient, Attempt: w.Attempt}},
//		})
//	}
//
// What is in the journal is found by [Audit.Search]. Bodies may be encrypted ([BodyKeys]) and, when they
// are old, dropped ([Pruner]); their digests stay, and [Verify] knows what was dropped from the record
// of it ([DropEntry]). Chains name each other's heads ([AnchorEntry], [CheckHeads]), so that the end of
// one cannot be cut off unseen.
//
// Packages store/postgres and store/sqlite implement [Store]; package store/storetest is
// the suite that both pass.
package store
