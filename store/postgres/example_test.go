package postgres_test

import (
	"context"
	"fmt"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
)

func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := postgres.Open("postgres://spinetrace@db.example/journal", store.Options{Chain: "main"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := s.Close(); err != nil {
			fmt.Println(err)
		}
	}()
	if err := s.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := s.Commit(ctx, store.Commit{
		Entries: []store.Entry{{Kind: store.Warned, Facts: store.Facts{Reason: "no TLS"}}},
	})
	fmt.Println(receipt.Status == store.Kept, err)
}
